// The parser behind GgufFile: one walk over header, metadata and tensor directory, then a check of
// where the tensors' data lies.
#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "models/files/describe_file.h"
#include "models/files/file_format.h"
#include "models/files/file_reader.h"
#include "models/files/gguf.h"

namespace sluice {
namespace {

constexpr absl::string_view kMagic = "GGUF";
constexpr absl::string_view kAlignmentKey = "general.alignment";
constexpr uint64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
// The least a record takes: key length, one byte of key, value type, one byte of value.
constexpr size_t kMinKeyRecord = 8 + 1 + 4 + 1;
// Name length, one byte of name, number of dimensions, one dimension, type, offset.
constexpr size_t kMinTensorRecord = 8 + 1 + 4 + 8 + 4 + 8;

}  // namespace

class GgufReader : private FileReader {
 public:
  explicit GgufReader(GgufFile* file) : FileReader(file->path(), file->bytes()), file_(*file) {}
  absl::Status Parse();

 private:
  absl::Status ReadVersion();
  absl::Status ReadMetadata(size_t count);
  absl::StatusOr<MetadataValue> ReadValue();
  absl::StatusOr<MetadataValue> ReadArray();
  absl::Status CheckBools(absl::Span<const std::byte> values) const;
  absl::Status SetAlignment();
  absl::Status ReadDirectory(size_t count);
  absl::Status ReadTensor(StoredTensor* tensor);
  absl::StatusOr<int64_t> ReadShape(std::vector<int64_t>* shape);
  absl::Status PlaceTensors();
  absl::Status CheckOverlaps();

  // As Take(). A count is refused if the rest of the file has no room for so many records of
  // `min_record` bytes.
  absl::StatusOr<size_t> TakeCount(absl::string_view what, size_t min_record);
  absl::StatusOr<absl::string_view> TakeString(absl::string_view what, uint64_t limit);
  absl::StatusOr<absl::string_view> TakeEntryName(uint64_t limit);
  absl::StatusOr<MetadataType> TakeType(absl::string_view what);

  GgufFile& file_;
  std::vector<StoredTensor> tensors_;  // until they are placed
};

absl::StatusOr<size_t> GgufReader::TakeCount(absl::string_view what, size_t min_record) {
  SLUICE_ASSIGN_OR_RETURN(const uint64_t count, TakeNumber<uint64_t>(what));
  if (count > left() / min_record) {
    return Error(what, " ", count, " exceeds the ", left() / min_record, " that fit into the ",
                 left(), " bytes left");
  }
  if (count > GgufLimits::kEntries) {
    return Error(what, " ", count, " exceeds the limit of ", GgufLimits::kEntries);
  }
  return count;
}

absl::StatusOr<absl::string_view> GgufReader::TakeString(absl::string_view what, uint64_t limit) {
  SLUICE_ASSIGN_OR_RETURN(const uint64_t length, TakeNumber<uint64_t>(what));
  return TakeText(what, length, limit);
}

absl::StatusOr<absl::string_view> GgufReader::TakeEntryName(uint64_t limit) {
  SLUICE_ASSIGN_OR_RETURN(const uint64_t length, TakeNumber<uint64_t>("the name"));
  return TakeName(length, limit);
}

absl::StatusOr<MetadataType> GgufReader::TakeType(absl::string_view what) {
  SLUICE_ASSIGN_OR_RETURN(const uint32_t id, TakeNumber<uint32_t>(what));
  if (id >= kMetadataTypeCount) {
    return Error("unknown ", what, " ", id, ", expected 0 to ", kMetadataTypeCount - 1);
  }
  return static_cast<MetadataType>(id);
}

absl::Status GgufReader::Parse() {
  if (bytes().empty()) return Error("the file is empty");
  if (reinterpret_cast<uintptr_t>(bytes().data()) % GgufLimits::kMinAlignment != 0) {
    return Error("the bytes begin at an address that is no multiple of ",
                 GgufLimits::kMinAlignment);
  }
  SLUICE_RETURN_IF_ERROR(ReadVersion());
  SLUICE_ASSIGN_OR_RETURN(const size_t tensors, TakeCount("tensor count", kMinTensorRecord));
  SLUICE_ASSIGN_OR_RETURN(const size_t keys, TakeCount("key count", kMinKeyRecord));
  SLUICE_RETURN_IF_ERROR(ReadMetadata(keys));
  SLUICE_RETURN_IF_ERROR(SetAlignment());
  SLUICE_RETURN_IF_ERROR(ReadDirectory(tensors));
  return PlaceTensors();
}

absl::Status GgufReader::ReadVersion() {
  SLUICE_ASSIGN_OR_RETURN(const absl::string_view magic,
                          TakeText("the magic", kMagicBytes, kMagicBytes));
  if (magic != kMagic) {
    const auto* start = reinterpret_cast<const char*>(bytes().data());
    return Error("not a GGUF file: it ",
                 DescribeFile({start, std::min(bytes().size(), kTellingBytes)}));
  }
  SLUICE_ASSIGN_OR_RETURN(const uint32_t version, TakeNumber<uint32_t>("the version"));
  if (version != 0 && (version & 0xFFFF) == 0) {
    return Error("big-endian files are not supported (version ", version >> 24, ")");
  }
  if (version == 1) {
    return Error("GGUF version 1 is not supported, expected 2 or 3: convert the model again");
  }
  if (version != 2 && version != 3) {
    return Error("unknown GGUF version ", version, ", expected 2 or 3");
  }
  file_.version_ = version;
  return absl::OkStatus();
}

absl::Status GgufReader::ReadMetadata(size_t count) {
  for (size_t i = 0; i < count; ++i) {
    Enter("key", i);
    SLUICE_ASSIGN_OR_RETURN(const absl::string_view key, TakeEntryName(GgufLimits::kKeyBytes));
    if (file_.Find(key) != nullptr) return Error("duplicate key");
    SLUICE_ASSIGN_OR_RETURN(const MetadataValue value, ReadValue());
    file_.AddKey(key, value);
  }
  return absl::OkStatus();
}

absl::StatusOr<MetadataValue> GgufReader::ReadValue() {
  SLUICE_ASSIGN_OR_RETURN(const MetadataType type, TakeType("value type"));
  if (type == MetadataType::kArray) return ReadArray();
  if (type == MetadataType::kString) {
    SLUICE_ASSIGN_OR_RETURN(const absl::string_view text,
                            TakeString("the string", GgufLimits::kStringBytes));
    return MetadataValue(type, bytes().subspan(pos() - text.size(), text.size()));
  }
  SLUICE_ASSIGN_OR_RETURN(const auto raw, Take("the value", ScalarBytes(type)));
  if (type == MetadataType::kBool) SLUICE_RETURN_IF_ERROR(CheckBools(raw));
  return MetadataValue(type, raw);
}

absl::StatusOr<MetadataValue> GgufReader::ReadArray() {
  SLUICE_ASSIGN_OR_RETURN(const MetadataType element, TakeType("array element type"));
  if (element == MetadataType::kArray) return Error("nested arrays are not supported");
  SLUICE_ASSIGN_OR_RETURN(const uint64_t count, TakeNumber<uint64_t>("the array size"));
  const bool strings = element == MetadataType::kString;
  const size_t min_bytes = strings ? sizeof(uint64_t) : ScalarBytes(element);
  if (count > GgufLimits::kArrayElements || count > left() / min_bytes) {
    return Error("an array of ", count, " elements exceeds the ", left(),
                 " bytes left or the limit of ", GgufLimits::kArrayElements, " elements");
  }
  const size_t begin = pos();
  if (strings) {
    for (uint64_t i = 0; i < count; ++i) {
      SLUICE_RETURN_IF_ERROR(
          TakeString("a string of the array", GgufLimits::kStringBytes).status());
    }
  } else {
    SLUICE_ASSIGN_OR_RETURN(const auto raw, Take("the array", count * min_bytes));
    if (element == MetadataType::kBool) SLUICE_RETURN_IF_ERROR(CheckBools(raw));
  }
  return MetadataValue::Array(element, static_cast<int64_t>(count),
                              bytes().subspan(begin, pos() - begin));
}

absl::Status GgufReader::CheckBools(absl::Span<const std::byte> values) const {
  for (const std::byte byte : values) {
    if (byte > std::byte{1}) {
      return Error("a bool is ", static_cast<int>(byte), ", expected 0 or 1");
    }
  }
  return absl::OkStatus();
}

absl::Status GgufReader::SetAlignment() {
  const MetadataValue* value = file_.Find(kAlignmentKey);
  if (value == nullptr) return absl::OkStatus();
  Revisit("key", kAlignmentKey, static_cast<size_t>(value->bytes().data() - bytes().data()));
  const absl::StatusOr<int64_t> alignment = value->AsInt();
  if (!alignment.ok()) return Error(alignment.status().message());
  if (!GgufLimits::IsAlignment(*alignment)) {
    return Error("the alignment is ", *alignment, ", expected a power of two from ",
                 GgufLimits::kMinAlignment, " to ", GgufLimits::kMaxAlignment);
  }
  file_.alignment_ = *alignment;
  return absl::OkStatus();
}

absl::Status GgufReader::ReadDirectory(size_t count) {
  tensors_.reserve(count);
  absl::flat_hash_set<absl::string_view> names;
  for (size_t i = 0; i < count; ++i) {
    Enter("tensor", i);
    SLUICE_ASSIGN_OR_RETURN(const absl::string_view name,
                            TakeEntryName(GgufLimits::kTensorNameBytes));
    if (!names.insert(name).second) return Error("duplicate tensor");
    StoredTensor& tensor = tensors_.emplace_back();
    tensor.name = std::string(name);
    SLUICE_RETURN_IF_ERROR(ReadTensor(&tensor));
  }
  return absl::OkStatus();
}

// Leaves tensor->offset relative to the data section, which begins behind the directory.
absl::Status GgufReader::ReadTensor(StoredTensor* tensor) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t elements, ReadShape(&tensor->shape));
  SLUICE_ASSIGN_OR_RETURN(const uint32_t id, TakeNumber<uint32_t>("the tensor type"));
  const std::optional<DType> dtype = DTypeFromGgmlId(id);
  if (!dtype) return Error("unknown tensor type ", id);
  tensor->dtype = *dtype;
  SLUICE_ASSIGN_OR_RETURN(tensor->bytes, SizeOf(*dtype, tensor->shape.back(), elements));

  SLUICE_ASSIGN_OR_RETURN(const uint64_t offset, TakeNumber<uint64_t>("the offset"));
  if (offset > bytes().size()) {
    return Error("offset ", offset, " lies beyond the end of the file, ", bytes().size(), " bytes");
  }
  if (offset % static_cast<uint64_t>(file_.alignment_) != 0) {
    return Error("offset ", offset, " is not aligned to ", file_.alignment_, " bytes");
  }
  tensor->offset = static_cast<int64_t>(offset);
  return absl::OkStatus();
}

// Returns the number of elements.
absl::StatusOr<int64_t> GgufReader::ReadShape(std::vector<int64_t>* shape) {
  SLUICE_ASSIGN_OR_RETURN(const uint32_t dims, TakeNumber<uint32_t>("the number of dimensions"));
  if (dims < 1 || dims > GgufLimits::kDims) {
    return Error("the tensor has ", dims, " dimensions, expected 1 to ", GgufLimits::kDims);
  }
  shape->resize(dims);
  int64_t elements = 1;
  for (uint32_t i = 0; i < dims; ++i) {
    SLUICE_ASSIGN_OR_RETURN(const uint64_t size, TakeNumber<uint64_t>("a dimension"));
    if (size < 1 || size > kMaxInt64) {
      return Error("dimension ", i, " is ", size, ", expected 1 to ", kMaxInt64);
    }
    (*shape)[dims - 1 - i] = static_cast<int64_t>(size);
    if (__builtin_mul_overflow(elements, static_cast<int64_t>(size), &elements)) {
      return Error("the product of the first ", i + 1, " dimensions overflows");
    }
  }
  return elements;
}

absl::Status GgufReader::PlaceTensors() {
  const size_t alignment = static_cast<size_t>(file_.alignment_);
  const size_t data_start = (pos() + alignment - 1) / alignment * alignment;
  for (StoredTensor& tensor : tensors_) {
    const size_t begin = data_start + static_cast<size_t>(tensor.offset);
    Revisit("tensor", tensor.name, begin);
    if (begin > bytes().size() || static_cast<size_t>(tensor.bytes) > bytes().size() - begin) {
      return Error("the data, ", tensor.bytes, " bytes, goes beyond the end of the file, ",
                   bytes().size(), " bytes: truncated?");
    }
    tensor.offset = static_cast<int64_t>(begin);
  }
  SLUICE_RETURN_IF_ERROR(CheckOverlaps());
  for (StoredTensor& tensor : tensors_) file_.AddTensor(std::move(tensor));
  return absl::OkStatus();
}

absl::Status GgufReader::CheckOverlaps() {
  std::vector<size_t> order(tensors_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto offset = [this](size_t i) { return tensors_[i].offset; };
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return offset(a) < offset(b); });
  for (size_t i = 1; i < order.size(); ++i) {
    const StoredTensor& before = tensors_[order[i - 1]];
    const StoredTensor& tensor = tensors_[order[i]];
    if (before.offset + before.bytes <= tensor.offset) continue;
    Revisit("tensor", tensor.name, static_cast<size_t>(tensor.offset));
    return Error("the data begins inside that of tensor '", Printable(before.name),
                 "', which ends at byte ", before.offset + before.bytes, ": offsets overlap");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::Open(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> mapping, MappedFile::Open(path));
  return FromMapping(std::move(mapping));
}

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::FromMapping(
    std::unique_ptr<MappedFile> mapping) {
  auto file = absl::WrapUnique(new GgufFile(std::move(mapping)));
  SLUICE_RETURN_IF_ERROR(GgufReader(file.get()).Parse());
  return file;
}

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::FromMemory(absl::Span<const std::byte> bytes,
                                                               std::string name) {
  auto file = absl::WrapUnique(new GgufFile(bytes, std::move(name)));
  SLUICE_RETURN_IF_ERROR(GgufReader(file.get()).Parse());
  return file;
}

namespace {

absl::StatusOr<std::unique_ptr<WeightSource>> OpenGguf(std::unique_ptr<MappedFile> mapping,
                                                       const FileOptions& options) {
  if (options.gqa != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(mapping->path(), ": gqa ", options.gqa,
                     " was given, but a GGUF file says itself how many key-value heads it has; "
                     "only ggml, ggmf and ggjt files do not"));
  }
  return GgufFile::FromMapping(std::move(mapping));
}

constexpr Magic kMagics[] = {{kMagic, "GGUF"}};

}  // namespace

const FileFormat kGgufFormat = {.magics = kMagics, .open = OpenGguf};

}  // namespace sluice
