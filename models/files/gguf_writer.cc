#include "models/files/gguf_writer.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/memory_for.h"
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

absl::StatusOr<GgufWriter::Layout> GgufWriter::LayOut(int64_t alignment) const {
  SLUICE_RETURN_IF_ERROR(CheckAlignment(alignment));
  Layout layout;
  SLUICE_ASSIGN_OR_RETURN(layout.header, Metadata(alignment));
  SLUICE_ASSIGN_OR_RETURN(layout.extents, Extents(alignment));
  std::string& header = layout.header;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor& tensor = tensors_[i];
    AppendText(&header, tensor.name);
    Append(&header, static_cast<uint32_t>(tensor.shape.size()));
    for (size_t d = tensor.shape.size(); d-- > 0;) Append(&header, tensor.shape[d]);
    Append(&header, static_cast<uint32_t>(Info(tensor.dtype).ggml_id));
    Append(&header, layout.extents[i].offset);
    if (!tensor.fill) layout.holes += layout.extents[i].bytes;
  }
  const auto& extents = layout.extents;
  layout.data_start = RoundUp(static_cast<int64_t>(header.size()), alignment);
  const int64_t data_bytes = extents.empty() ? 0 : extents.back().offset + extents.back().bytes;
  layout.file_bytes = RoundUp(layout.data_start + data_bytes, alignment);
  return layout;
}

absl::Status GgufWriter::WriteTensor(const Tensor& tensor, int64_t bytes, OutputFile& file) const {
  const auto error = [&tensor](absl::StatusCode code, absl::string_view what) {
    return absl::Status(code, absl::StrCat("tensor '", Printable(tensor.name), "': ", what));
  };
  const auto size = static_cast<size_t>(bytes);
  // Not of operator new, which ends a program that runs out of memory.
  const std::unique_ptr<void, void (*)(void*)> memory(std::calloc(size, 1), std::free);
  auto* const data = static_cast<std::byte*>(memory.get());
  if (data == nullptr) {
    return error(absl::StatusCode::kResourceExhausted,
                 absl::StrCat("cannot allocate ", bytes, " bytes for its data"));
  }
  if (const absl::Status status = tensor.fill({data, size}); !status.ok()) {
    return error(status.code(), status.message());
  }
  return file.Write(data, size);
}

absl::Status GgufWriter::Write(const std::string& path, const GgufWriteOptions& options) const {
  return WithMemoryFor(path, [&] { return WriteAll(path, options); });
}

absl::Status GgufWriter::WriteAll(const std::string& path, const GgufWriteOptions& options) const {
  SLUICE_ASSIGN_OR_RETURN(const Layout layout, LayOut(options.alignment));
  OutputOptions output = options.output;
  output.bytes = layout.file_bytes;
  output.holes = layout.holes;
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<OutputFile> file,
                          OutputFile::Open(path, std::move(output)));
  SLUICE_RETURN_IF_ERROR(file->Write(layout.header));
  auto written = static_cast<int64_t>(layout.header.size());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (!tensors_[i].fill) continue;
    const Extent& extent = layout.extents[i];
    const int64_t begin = layout.data_start + extent.offset;
    SLUICE_RETURN_IF_ERROR(file->Skip(begin - written));
    SLUICE_RETURN_IF_ERROR(WriteTensor(tensors_[i], extent.bytes, *file));
    written = begin + extent.bytes;
  }
  SLUICE_RETURN_IF_ERROR(file->Skip(layout.file_bytes - written));
  if (options.check) SLUICE_RETURN_IF_ERROR(options.check(*file));
  return file->Commit();
}

}  // namespace sluice
