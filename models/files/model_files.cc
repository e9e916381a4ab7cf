#include "models/files/model_files.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "graph/status_macros.h"
#include "models/files/describe_file.h"

namespace sluice {
namespace {

constexpr const FileFormat* kFormats[] = {
    &kGgufFormat,
    &kGgmlFormat,
};

struct Known {
  const FileFormat* format = nullptr;
  const Magic* magic = nullptr;
};

// Of nothing if the format is unknown.
Known FindFormat(absl::string_view first_bytes) {
  for (const FileFormat* format : kFormats) {
    for (const Magic& magic : format->magics) {
      if (absl::StartsWith(first_bytes, magic.bytes)) return {format, &magic};
    }
  }
  return {};
}

absl::Status NoModelFile(const MappedFile& file, absl::string_view first_bytes) {
  if (first_bytes.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(file.path(), ": the file is empty"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(file.path(), ": not a model file: it ", DescribeFile(first_bytes)));
}

constexpr int64_t kMaxParts = 99999;  // file names have five digits

template <typename... Args>
absl::Status Error(const WeightSource& file, const Args&... message) {
  return absl::InvalidArgumentError(absl::StrCat(file.path(), ": ", message...));
}

// nullopt if the key is absent.
absl::StatusOr<std::optional<int64_t>> FindInt(const WeightSource& file, absl::string_view key) {
  const MetadataValue* value = file.Find(key);
  if (value == nullptr) return std::nullopt;
  const absl::StatusOr<int64_t> number = value->AsInt();
  if (!number.ok()) return Error(file, "key '", key, "': ", number.status().message());
  return *number;
}

absl::Status Expect(const WeightSource& file, absl::string_view key, int64_t expected) {
  SLUICE_ASSIGN_OR_RETURN(const std::optional<int64_t> got, FindInt(file, key));
  if (got == expected) return absl::OkStatus();
  return Error(file, "key '", key, "': expected ", expected, ", got ",
               got.has_value() ? absl::StrCat(*got) : "none");
}

std::string PartSuffix(int64_t part, int64_t count) {
  return absl::StrFormat("-%05d-of-%05d.gguf", part + 1, count);
}

// What the names of all parts begin with.
absl::StatusOr<std::string> PartPrefix(const WeightSource& first, int64_t count) {
  const std::string suffix = PartSuffix(0, count);
  if (absl::EndsWith(first.path(), suffix)) {
    return std::string(absl::StripSuffix(first.path(), suffix));
  }
  return Error(first, "a model in ", count,
               " parts: expected the name of the first, which ends in '", suffix, "'");
}

absl::Status CheckTensors(const ModelFiles& files) {
  absl::flat_hash_set<absl::string_view> names;
  for (const auto& file : files) {
    for (const StoredTensor& tensor : file->tensors()) {
      if (!names.insert(tensor.name).second) {
        return Error(*file, "tensor '", Printable(tensor.name), "': already in an earlier part");
      }
    }
  }
  SLUICE_ASSIGN_OR_RETURN(const std::optional<int64_t> count,
                          FindInt(*files[0], "split.tensors.count"));
  if (!count.has_value() || *count == static_cast<int64_t>(names.size())) return absl::OkStatus();
  return Error(*files[0], "key 'split.tensors.count': expected ", names.size(),
               ", the number of tensors in all parts, got ", *count);
}

}  // namespace

const Magic* FindMagic(absl::string_view first_bytes) { return FindFormat(first_bytes).magic; }

absl::StatusOr<std::unique_ptr<WeightSource>> OpenModelFile(const std::string& path,
                                                            const FileOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> mapping, MappedFile::Open(path));
  const auto* text = reinterpret_cast<const char*>(mapping->bytes().data());
  const absl::string_view start(text, std::min(mapping->bytes().size(), kTellingBytes));
  const FileFormat* format = FindFormat(start).format;
  if (format == nullptr) return NoModelFile(*mapping, start);
  return format->open(std::move(mapping), options);
}

absl::StatusOr<ModelFiles> OpenModelFiles(const std::string& path, const FileOptions& options) {
  ModelFiles files;
  SLUICE_ASSIGN_OR_RETURN(files.emplace_back(), OpenModelFile(path, options));
  const WeightSource& first = *files[0];
  SLUICE_ASSIGN_OR_RETURN(const std::optional<int64_t> count, FindInt(first, "split.count"));
  if (!count.has_value() || *count == 1) return files;
  if (*count < 1 || *count > kMaxParts) {
    return Error(first, "key 'split.count': expected 1 to ", kMaxParts, ", got ", *count);
  }
  SLUICE_ASSIGN_OR_RETURN(const std::string prefix, PartPrefix(first, *count));
  SLUICE_RETURN_IF_ERROR(Expect(first, "split.no", 0));
  for (int64_t part = 1; part < *count; ++part) {
    SLUICE_ASSIGN_OR_RETURN(files.emplace_back(),
                            OpenModelFile(absl::StrCat(prefix, PartSuffix(part, *count))));
    SLUICE_RETURN_IF_ERROR(Expect(*files.back(), "split.no", part));
    SLUICE_RETURN_IF_ERROR(Expect(*files.back(), "split.count", *count));
  }
  SLUICE_RETURN_IF_ERROR(CheckTensors(files));
  return files;
}

}  // namespace sluice
