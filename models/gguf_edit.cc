#include "models/gguf_edit.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/nearest_name.h"
#include "graph/status_macros.h"
#include "models/files/gguf_writer.h"
#include "models/files/output_file.h"
#include "models/model.h"

namespace sluice {
namespace {

constexpr absl::string_view kAlignmentKey = "general.alignment";

absl::Status KeyError(absl::string_view key, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("key '", Printable(key), "': ", what));
}

std::optional<MetadataType> TypeFromName(absl::string_view name) {
  for (uint32_t i = 0; i < kMetadataTypeCount; ++i) {
    const auto type = static_cast<MetadataType>(i);
    if (Name(type) == name) return type;
  }
  return std::nullopt;
}

// Arrays can only be removed.
std::vector<absl::string_view> SettableTypes() {
  std::vector<absl::string_view> names;
  for (uint32_t i = 0; i < kMetadataTypeCount; ++i) {
    const auto type = static_cast<MetadataType>(i);
    if (type != MetadataType::kArray) names.push_back(Name(type));
  }
  return names;
}

template <typename T>
std::string BytesOf(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

// Parsed as Wide, stored as T; nullopt where T cannot hold it.
template <typename T, typename Wide>
std::optional<std::string> IntBytes(absl::string_view text) {
  Wide value = 0;
  if (!absl::SimpleAtoi(text, &value) || value < std::numeric_limits<T>::min() ||
      value > std::numeric_limits<T>::max()) {
    return std::nullopt;
  }
  return BytesOf(static_cast<T>(value));
}

std::optional<std::string> FloatBytes(MetadataType type, absl::string_view text) {
  double wide = 0;
  if (!absl::SimpleAtod(text, &wide) || !std::isfinite(wide)) return std::nullopt;
  if (type != MetadataType::kF32) return BytesOf(wide);
  float narrow = 0;
  if (!absl::SimpleAtof(text, &narrow) || !std::isfinite(narrow)) return std::nullopt;
  if (narrow == 0 && wide != 0) return std::nullopt;
  return BytesOf(narrow);
}

std::optional<std::string> BoolBytes(absl::string_view text) {
  if (text != "true" && text != "false") return std::nullopt;
  return BytesOf(uint8_t{text == "true"});
}

// nullopt where `text` is no value of the type, which is no string and no array.
std::optional<std::string> ScalarFromText(MetadataType type, absl::string_view text) {
  switch (type) {
    case MetadataType::kU8:
      return IntBytes<uint8_t, int64_t>(text);
    case MetadataType::kI8:
      return IntBytes<int8_t, int64_t>(text);
    case MetadataType::kU16:
      return IntBytes<uint16_t, int64_t>(text);
    case MetadataType::kI16:
      return IntBytes<int16_t, int64_t>(text);
    case MetadataType::kU32:
      return IntBytes<uint32_t, int64_t>(text);
    case MetadataType::kI32:
      return IntBytes<int32_t, int64_t>(text);
    case MetadataType::kU64:
      return IntBytes<uint64_t, uint64_t>(text);
    case MetadataType::kI64:
      return IntBytes<int64_t, int64_t>(text);
    case MetadataType::kBool:
      return BoolBytes(text);
    default:
      return FloatBytes(type, text);
  }
}

absl::Status SetFromText(absl::string_view key, MetadataType type, const std::string& text,
                         GgufWriter* writer) {
  if (type == MetadataType::kArray) return KeyError(key, "arrays can be removed, but not set");
  if (type == MetadataType::kString) {
    writer->SetString(key, text);
    return absl::OkStatus();
  }
  const std::optional<std::string> bytes = ScalarFromText(type, text);
  if (!bytes) {
    return KeyError(key, absl::StrCat("'", Printable(text), "' is no value of type ", Name(type)));
  }
  writer->SetScalar(key, type, {reinterpret_cast<const std::byte*>(bytes->data()), bytes->size()});
  return absl::OkStatus();
}

using EditsByKey = absl::flat_hash_map<absl::string_view, const MetadataEdit*>;

absl::StatusOr<EditsByKey> IndexEdits(const GgufFile& file, absl::Span<const MetadataEdit> edits) {
  EditsByKey index;
  for (const MetadataEdit& edit : edits) {
    if (!index.emplace(edit.key, &edit).second) return KeyError(edit.key, "given twice");
    if (edit.key == kAlignmentKey) return KeyError(edit.key, "is the layout of the file");
    if (file.Find(edit.key) != nullptr) continue;
    if (!edit.value) return KeyError(edit.key, "the file has none to remove");
    if (!edit.type) {
      return KeyError(edit.key, "the file has none; to add it, give its type: KEY:TYPE=VALUE");
    }
  }
  return index;
}

absl::Status EditMetadata(const GgufFile& file, absl::Span<const MetadataEdit> edits,
                          GgufWriter* writer) {
  SLUICE_ASSIGN_OR_RETURN(const EditsByKey index, IndexEdits(file, edits));
  for (const auto& [key, value] : file.metadata()) {
    if (key == kAlignmentKey) continue;
    const auto it = index.find(key);
    if (it == index.end()) {
      writer->SetValue(key, value);
    } else if (const MetadataEdit& edit = *it->second; edit.value) {
      SLUICE_RETURN_IF_ERROR(
          SetFromText(key, edit.type.value_or(value.type()), *edit.value, writer));
    }
  }
  for (const MetadataEdit& edit : edits) {
    if (file.Find(edit.key) != nullptr) continue;
    SLUICE_RETURN_IF_ERROR(SetFromText(edit.key, *edit.type, *edit.value, writer));
  }
  return absl::OkStatus();
}

void CopyTensors(const GgufFile& file, GgufWriter* writer) {
  for (const StoredTensor& tensor : file.tensors()) {
    writer->AddTensor(tensor.name, tensor.dtype, tensor.shape,
                      [&file, &tensor](absl::Span<std::byte> out) -> absl::Status {
                        SLUICE_RETURN_IF_ERROR(file.CheckNotShrunk());
                        const absl::Span<const std::byte> data = file.Data(tensor);
                        std::copy(data.begin(), data.end(), out.begin());
                        file.Release(data);
                        return absl::OkStatus();
                      });
  }
}

// A part of a split model does not load by itself.
bool IsPart(const GgufFile& file) { return file.Find("split.count") != nullptr; }

absl::Status CheckReadable(const GgufFile& original, const OutputFile& output) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> written, output.Map());
  ModelFiles files;
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file,
                          GgufFile::FromMapping(std::move(written)));
  if (IsPart(original) || IsPart(*file) || !Model::Load(original.path()).ok()) {
    return absl::OkStatus();
  }
  files.push_back(std::move(file));
  const absl::Status status = Model::FromFiles(std::move(files)).status();
  if (status.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the edited model would not load any more: ", status.message()));
}

}  // namespace

absl::StatusOr<MetadataEdit> ParseMetadataEdit(absl::string_view text) {
  const size_t equals = text.find('=');
  if (equals == absl::string_view::npos || equals == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", Printable(text), "': expected KEY=VALUE or KEY:TYPE=VALUE"));
  }
  const absl::string_view name = text.substr(0, equals);
  MetadataEdit edit = {.key = std::string(name), .value = std::string(text.substr(equals + 1))};
  const size_t colon = name.rfind(':');
  if (colon == absl::string_view::npos) return edit;
  edit.key = std::string(name.substr(0, colon));
  edit.type = TypeFromName(name.substr(colon + 1));
  if (!edit.type) {
    const absl::string_view type = name.substr(colon + 1);
    return KeyError(edit.key, absl::StrCat("unknown type '", Printable(type), "', expected one of ",
                                           absl::StrJoin(SettableTypes(), ", "),
                                           DidYouMean(type, SettableTypes())));
  }
  return edit;
}

absl::Status WriteEdited(const GgufFile& file, absl::Span<const MetadataEdit> edits,
                         const std::string& path) {
  GgufWriter writer;
  SLUICE_RETURN_IF_ERROR(EditMetadata(file, edits, &writer));
  CopyTensors(file, &writer);
  return writer.Write(
      path,
      {.alignment = file.alignment(),
       .output = {.inputs = {file.path()}, .needs_file = "the copy is read again before it counts"},
       .check = [&file](const OutputFile& output) { return CheckReadable(file, output); }});
}

}  // namespace sluice
