#include "models/files/gguf_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdio>
#include <limits>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

static_assert(std::endian::native == std::endian::little, "values are stored as they stand");

constexpr uint32_t kVersion = 3;
constexpr absl::string_view kAlignmentKey = "general.alignment";

template <typename T>
void Append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(T));
}

void AppendText(std::string* out, absl::string_view text) {
  Append(out, uint64_t{text.size()});
  out->append(text.data(), text.size());
}

template <typename T>
std::string Scalar(MetadataType type, T value) {
  std::string out;
  Append(&out, type);
  Append(&out, value);
  return out;
}

std::string ArrayHeader(MetadataType element, size_t size) {
  std::string out;
  Append(&out, MetadataType::kArray);
  Append(&out, element);
  Append(&out, uint64_t{size});
  return out;
}

template <typename T>
std::string Array(MetadataType element, absl::Span<const T> values) {
  std::string out = ArrayHeader(element, values.size());
  out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  return out;
}

absl::Status CheckAlignment(int64_t alignment) {
  if (GgufLimits::IsAlignment(alignment)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("alignment ", alignment, ": expected a power of two from ",
                   GgufLimits::kMinAlignment, " to ", GgufLimits::kMaxAlignment));
}

// Takes a key or tensor name into `seen`.
absl::Status CheckName(absl::string_view kind, absl::string_view name, int64_t limit,
                       absl::flat_hash_set<absl::string_view>* seen) {
  absl::string_view wrong;
  if (name.empty() || static_cast<int64_t>(name.size()) > limit) {
    wrong = "the name is empty or too long";
  } else if (absl::StrContains(name, '\0')) {
    wrong = "the name contains a NUL";
  } else if (!seen->insert(name).second) {
    wrong = "given twice";
  } else {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(kind, " '", Printable(name), "': ", wrong));
}

// nullopt where GgufFile would reject the shape.
std::optional<int64_t> TensorBytes(DType dtype, absl::Span<const int64_t> shape) {
  if (shape.empty() || static_cast<int64_t>(shape.size()) > GgufLimits::kDims) return std::nullopt;
  if (shape.back() % Info(dtype).elements_per_block != 0) return std::nullopt;
  int64_t elements = 1;
  for (const int64_t size : shape) {
    if (size < 1 || __builtin_mul_overflow(elements, size, &elements)) return std::nullopt;
  }
  return ByteSize(dtype, elements);
}

int64_t RoundUp(int64_t value, int64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

// A file that comes to stand under its name only when it is complete.
class PartialFile {
 public:
  explicit PartialFile(const std::string& path) : path_(path), partial_(path + ".partial") {}
  ~PartialFile() {
    if (fd_ >= 0) close(fd_);
    if (created_) unlink(partial_.c_str());
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  absl::Status Create(int64_t size) {
    fd_ = open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd_ < 0) return SystemError("cannot create");
    created_ = true;
    return ftruncate(fd_, size) == 0 ? absl::OkStatus() : SystemError("cannot resize");
  }

  absl::Status WriteAt(int64_t offset, const void* data, size_t size) {
    const char* from = static_cast<const char*>(data);
    while (size > 0) {
      const ssize_t written = pwrite(fd_, from, size, offset);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return SystemError("cannot write");
      from += written;
      offset += written;
      size -= static_cast<size_t>(written);
    }
    return absl::OkStatus();
  }

  absl::Status Commit() {
    if (close(std::exchange(fd_, -1)) != 0) return SystemError("cannot close");
    if (rename(partial_.c_str(), path_.c_str()) != 0) return SystemError("cannot rename");
    created_ = false;
    return absl::OkStatus();
  }

 private:
  absl::Status SystemError(absl::string_view what) const {
    return absl::ErrnoToStatus(errno, absl::StrCat(partial_, ": ", what));
  }

  std::string path_;
  std::string partial_;
  int fd_ = -1;
  bool created_ = false;  // and not yet renamed
};

}  // namespace

void GgufWriter::SetU32(absl::string_view key, uint32_t value) {
  metadata_.push_back({std::string(key), Scalar(MetadataType::kU32, value)});
}

void GgufWriter::SetI32(absl::string_view key, int32_t value) {
  metadata_.push_back({std::string(key), Scalar(MetadataType::kI32, value)});
}

void GgufWriter::SetU64(absl::string_view key, uint64_t value) {
  metadata_.push_back({std::string(key), Scalar(MetadataType::kU64, value)});
}

void GgufWriter::SetF32(absl::string_view key, float value) {
  metadata_.push_back({std::string(key), Scalar(MetadataType::kF32, value)});
}

void GgufWriter::SetScalar(absl::string_view key, MetadataType type,
                           absl::Span<const std::byte> value) {
  std::string out;
  Append(&out, type);
  out.append(reinterpret_cast<const char*>(value.data()), value.size());
  metadata_.push_back({std::string(key), std::move(out)});
}

void GgufWriter::SetBool(absl::string_view key, bool value) {
  metadata_.push_back({std::string(key), Scalar(MetadataType::kBool, uint8_t{value})});
}

void GgufWriter::SetString(absl::string_view key, absl::string_view value) {
  std::string out;
  Append(&out, MetadataType::kString);
  AppendText(&out, value);
  metadata_.push_back({std::string(key), std::move(out)});
}

void GgufWriter::SetStrings(absl::string_view key, absl::Span<const std::string> values) {
  std::string out = ArrayHeader(MetadataType::kString, values.size());
  for (const std::string& value : values) AppendText(&out, value);
  metadata_.push_back({std::string(key), std::move(out)});
}

void GgufWriter::SetI32s(absl::string_view key, absl::Span<const int32_t> values) {
  metadata_.push_back({std::string(key), Array(MetadataType::kI32, values)});
}

void GgufWriter::SetF32s(absl::string_view key, absl::Span<const float> values) {
  metadata_.push_back({std::string(key), Array(MetadataType::kF32, values)});
}

void GgufWriter::SetValue(absl::string_view key, const MetadataValue& value) {
  std::string out;
  if (value.type() == MetadataType::kArray) {
    out = ArrayHeader(value.element_type(), static_cast<size_t>(value.size()));
  } else {
    Append(&out, value.type());
    if (value.type() == MetadataType::kString) Append(&out, uint64_t{value.bytes().size()});
  }
  out.append(reinterpret_cast<const char*>(value.bytes().data()), value.bytes().size());
  metadata_.push_back({std::string(key), std::move(out)});
}

void GgufWriter::AddTensor(absl::string_view name, DType dtype, absl::Span<const int64_t> shape,
                           FillFn fill) {
  tensors_.push_back({std::string(name), dtype, {shape.begin(), shape.end()}, std::move(fill)});
}

absl::StatusOr<std::string> GgufWriter::Metadata(int64_t alignment) const {
  const bool default_alignment = alignment == GgufLimits::kDefaultAlignment;
  std::string out = "GGUF";
  Append(&out, kVersion);
  Append(&out, uint64_t{tensors_.size()});
  Append(&out, uint64_t{metadata_.size() + (default_alignment ? 0 : 1)});
  absl::flat_hash_set<absl::string_view> seen;
  for (const Entry& entry : metadata_) {
    SLUICE_RETURN_IF_ERROR(CheckName("key", entry.key, GgufLimits::kKeyBytes, &seen));
    if (entry.key == kAlignmentKey) {
      return absl::InvalidArgumentError("key 'general.alignment': is an argument of Write()");
    }
    AppendText(&out, entry.key);
    out += entry.value;
  }
  if (!default_alignment) {
    AppendText(&out, kAlignmentKey);
    out += Scalar(MetadataType::kU32, static_cast<uint32_t>(alignment));
  }
  return out;
}

absl::StatusOr<std::vector<GgufWriter::Extent>> GgufWriter::Extents(int64_t alignment) const {
  // Keeps every later sum of an offset, a size and the header within int64_t.
  constexpr int64_t kMaxBytes = std::numeric_limits<int64_t>::max() / 4;
  std::vector<Extent> extents;
  absl::flat_hash_set<absl::string_view> seen;
  int64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    SLUICE_RETURN_IF_ERROR(CheckName("tensor", tensor.name, GgufLimits::kTensorNameBytes, &seen));
    const std::optional<int64_t> bytes = TensorBytes(tensor.dtype, tensor.shape);
    if (!bytes || *bytes > kMaxBytes - offset) {
      return absl::InvalidArgumentError(absl::StrCat("tensor '", Printable(tensor.name),
                                                     "': no valid shape for ", Name(tensor.dtype),
                                                     ": [", absl::StrJoin(tensor.shape, ","), "]"));
    }
    extents.push_back({offset, *bytes});
    offset = RoundUp(offset + *bytes, alignment);
  }
  return extents;
}

absl::Status GgufWriter::Write(const std::string& path, int64_t alignment) const {
  SLUICE_RETURN_IF_ERROR(CheckAlignment(alignment));
  SLUICE_ASSIGN_OR_RETURN(std::string header, Metadata(alignment));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Extent> extents, Extents(alignment));
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor& tensor = tensors_[i];
    AppendText(&header, tensor.name);
    Append(&header, static_cast<uint32_t>(tensor.shape.size()));
    for (size_t d = tensor.shape.size(); d-- > 0;) Append(&header, tensor.shape[d]);
    Append(&header, static_cast<uint32_t>(Info(tensor.dtype).ggml_id));
    Append(&header, extents[i].offset);
  }
  const int64_t data_start = RoundUp(static_cast<int64_t>(header.size()), alignment);
  const int64_t data_bytes = extents.empty() ? 0 : extents.back().offset + extents.back().bytes;

  PartialFile file(path);
  SLUICE_RETURN_IF_ERROR(file.Create(RoundUp(data_start + data_bytes, alignment)));
  SLUICE_RETURN_IF_ERROR(file.WriteAt(0, header.data(), header.size()));
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (!tensors_[i].fill) continue;
    std::vector<std::byte> data(static_cast<size_t>(extents[i].bytes));
    if (const absl::Status status = tensors_[i].fill(absl::MakeSpan(data)); !status.ok()) {
      return absl::Status(status.code(), absl::StrCat("tensor '", Printable(tensors_[i].name),
                                                      "': ", status.message()));
    }
    SLUICE_RETURN_IF_ERROR(file.WriteAt(data_start + extents[i].offset, data.data(), data.size()));
  }
  return file.Commit();
}

}  // namespace sluice
