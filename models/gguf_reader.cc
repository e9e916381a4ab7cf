// The parser behind GgufFile::Open and FromMemory: one walk over header, metadata and tensor
// directory, then a check of where the tensors' data lies.
#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "models/gguf.h"

namespace sluice {
namespace {

static_assert(std::endian::native == std::endian::little, "values are loaded as they stand");
static_assert(sizeof(size_t) == sizeof(uint64_t), "models are larger than 4 GiB");

constexpr absl::string_view kMagic = "GGUF";
constexpr absl::string_view kAlignmentKey = "general.alignment";
constexpr uint64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
// The least a record takes: key length, one byte of key, value type, one byte of value.
constexpr size_t kMinKeyRecord = 8 + 1 + 4 + 1;
// Name length, one byte of name, number of dimensions, one dimension, type, offset.
constexpr size_t kMinTensorRecord = 8 + 1 + 4 + 8 + 4 + 8;

}  // namespace

class GgufReader {
 public:
  explicit GgufReader(GgufFile* file) : file_(*file), bytes_(file->bytes_) {}
  absl::Status Parse();

 private:
  absl::Status ReadVersion();
  absl::Status ReadMetadata(size_t count);
  absl::Status ReadValue(GgufValue* value);
  absl::Status ReadArray(GgufValue* value);
  absl::Status CheckBools(const GgufValue& value) const;
  absl::Status SetAlignment();
  absl::Status ReadDirectory(size_t count);
  absl::Status ReadTensor(GgufTensor* tensor);
  absl::StatusOr<int64_t> ReadShape(std::vector<int64_t>* shape);
  absl::Status PlaceTensors();
  absl::Status CheckOverlaps();

  // Each returns what comes next and advances past it; item_ is then where it began.
  absl::StatusOr<absl::Span<const std::byte>> Take(absl::string_view what, uint64_t size);
  template <typename T>
  absl::StatusOr<T> TakeNumber(absl::string_view what);
  absl::StatusOr<size_t> TakeCount(absl::string_view what, size_t min_record);
  absl::StatusOr<absl::string_view> TakeString(absl::string_view what, int64_t limit);
  absl::StatusOr<absl::string_view> TakeName(int64_t limit);
  absl::StatusOr<GgufType> TakeType(absl::string_view what);

  void Enter(absl::string_view section, size_t index);
  std::string Place() const;
  template <typename... Args>
  absl::Status Error(const Args&... message) const;  // InvalidArgument with file, place and byte

  GgufFile& file_;
  absl::Span<const std::byte> bytes_;
  size_t pos_ = 0;

  // For messages: "header", or "key" or "tensor" with its index, its name once that is known, and
  // the byte at which the item in question begins.
  absl::string_view section_ = "header";
  size_t index_ = 0;
  absl::string_view name_;
  size_t item_ = 0;
};

void GgufReader::Enter(absl::string_view section, size_t index) {
  section_ = section;
  index_ = index;
  name_ = {};
}

std::string GgufReader::Place() const {
  if (!name_.empty()) return absl::StrCat(section_, " '", Printable(name_), "'");
  return section_ == "header" ? std::string(section_) : absl::StrCat(section_, " ", index_);
}

template <typename... Args>
absl::Status GgufReader::Error(const Args&... message) const {
  return absl::InvalidArgumentError(
      absl::StrCat(file_.path_, ": ", Place(), " at byte ", item_, ": ", message...));
}

absl::StatusOr<absl::Span<const std::byte>> GgufReader::Take(absl::string_view what,
                                                             uint64_t size) {
  item_ = pos_;
  const size_t left = bytes_.size() - pos_;
  if (size > left) {
    return Error("unexpected end of file: ", what, " takes ", size, " bytes, ", left, " are left");
  }
  pos_ += size;
  return bytes_.subspan(item_, size);
}

template <typename T>
absl::StatusOr<T> GgufReader::TakeNumber(absl::string_view what) {
  SLUICE_ASSIGN_OR_RETURN(const auto raw, Take(what, sizeof(T)));
  T value;
  std::memcpy(&value, raw.data(), sizeof(T));
  return value;
}

absl::StatusOr<size_t> GgufReader::TakeCount(absl::string_view what, size_t min_record) {
  SLUICE_ASSIGN_OR_RETURN(const uint64_t count, TakeNumber<uint64_t>(what));
  const size_t left = bytes_.size() - pos_;
  if (count > left / min_record) {
    return Error(what, " ", count, " exceeds the ", left / min_record, " that fit into the ", left,
                 " bytes left");
  }
  if (count > GgufLimits::kEntries) {
    return Error(what, " ", count, " exceeds the limit of ", GgufLimits::kEntries);
  }
  return count;
}

absl::StatusOr<absl::string_view> GgufReader::TakeString(absl::string_view what, int64_t limit) {
  SLUICE_ASSIGN_OR_RETURN(const uint64_t length, TakeNumber<uint64_t>(what));
  if (length > static_cast<uint64_t>(limit)) {
    return Error(what, " has a length of ", length, " bytes, which exceeds the limit of ", limit);
  }
  SLUICE_ASSIGN_OR_RETURN(const auto raw, Take(what, length));
  return absl::string_view(reinterpret_cast<const char*>(raw.data()), raw.size());
}

absl::StatusOr<absl::string_view> GgufReader::TakeName(int64_t limit) {
  SLUICE_ASSIGN_OR_RETURN(const absl::string_view name, TakeString("the name", limit));
  if (name.empty()) return Error("the name is empty");
  if (absl::StrContains(name, '\0')) {
    return Error("the name '", Printable(name), "' contains a NUL");
  }
  return name;
}

absl::StatusOr<GgufType> GgufReader::TakeType(absl::string_view what) {
  SLUICE_ASSIGN_OR_RETURN(const uint32_t id, TakeNumber<uint32_t>(what));
  if (id >= kGgufTypeCount) {
    return Error("unknown ", what, " ", id, ", expected 0 to ", kGgufTypeCount - 1);
  }
  return static_cast<GgufType>(id);
}

absl::Status GgufReader::Parse() {
  if (bytes_.empty()) return Error("the file is empty");
  if (reinterpret_cast<uintptr_t>(bytes_.data()) % GgufLimits::kMinAlignment != 0) {
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
  SLUICE_ASSIGN_OR_RETURN(const auto raw, Take("the magic", kMagic.size()));
  const absl::string_view magic(reinterpret_cast<const char*>(raw.data()), raw.size());
  if (magic != kMagic) {
    return Error("not a GGUF file: the magic is '", Printable(magic), "', expected '", kMagic, "'");
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
  file_.metadata_.reserve(count);
  file_.metadata_index_.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    Enter("key", i);
    SLUICE_ASSIGN_OR_RETURN(name_, TakeName(GgufLimits::kKeyBytes));
    if (!file_.metadata_index_.emplace(name_, i).second) return Error("duplicate key");
    file_.metadata_.emplace_back(name_, GgufValue());
    SLUICE_RETURN_IF_ERROR(ReadValue(&file_.metadata_.back().second));
  }
  return absl::OkStatus();
}

absl::Status GgufReader::ReadValue(GgufValue* value) {
  SLUICE_ASSIGN_OR_RETURN(value->type_, TakeType("value type"));
  if (value->type_ == GgufType::kArray) return ReadArray(value);
  if (value->type_ == GgufType::kString) {
    SLUICE_ASSIGN_OR_RETURN(const absl::string_view text,
                            TakeString("the string", GgufLimits::kStringBytes));
    value->bytes_ = bytes_.subspan(item_, text.size());
    return absl::OkStatus();
  }
  SLUICE_ASSIGN_OR_RETURN(value->bytes_, Take("the value", ScalarBytes(value->type_)));
  return value->type_ == GgufType::kBool ? CheckBools(*value) : absl::OkStatus();
}

absl::Status GgufReader::ReadArray(GgufValue* value) {
  SLUICE_ASSIGN_OR_RETURN(const GgufType element, TakeType("array element type"));
  if (element == GgufType::kArray) return Error("nested arrays are not supported");
  SLUICE_ASSIGN_OR_RETURN(const uint64_t count, TakeNumber<uint64_t>("the array size"));
  const bool strings = element == GgufType::kString;
  const size_t min_bytes = strings ? sizeof(uint64_t) : ScalarBytes(element);
  const size_t left = bytes_.size() - pos_;
  if (count > GgufLimits::kArrayElements || count > left / min_bytes) {
    return Error("an array of ", count, " elements exceeds the ", left,
                 " bytes left or the limit of ", GgufLimits::kArrayElements, " elements");
  }
  value->element_type_ = element;
  value->size_ = static_cast<int64_t>(count);
  if (strings) {
    const size_t begin = pos_;
    for (uint64_t i = 0; i < count; ++i) {
      SLUICE_RETURN_IF_ERROR(
          TakeString("a string of the array", GgufLimits::kStringBytes).status());
    }
    value->bytes_ = bytes_.subspan(begin, pos_ - begin);
    return absl::OkStatus();
  }
  SLUICE_ASSIGN_OR_RETURN(value->bytes_, Take("the array", count * min_bytes));
  return element == GgufType::kBool ? CheckBools(*value) : absl::OkStatus();
}

absl::Status GgufReader::CheckBools(const GgufValue& value) const {
  for (const std::byte byte : value.bytes_) {
    if (byte > std::byte{1}) {
      return Error("a bool is ", static_cast<int>(byte), ", expected 0 or 1");
    }
  }
  return absl::OkStatus();
}

absl::Status GgufReader::SetAlignment() {
  const auto it = file_.metadata_index_.find(kAlignmentKey);
  if (it == file_.metadata_index_.end()) return absl::OkStatus();
  Enter("key", it->second);
  name_ = kAlignmentKey;
  const GgufValue& value = file_.metadata_[it->second].second;
  item_ = static_cast<size_t>(value.bytes_.data() - bytes_.data());
  const absl::StatusOr<int64_t> alignment = value.AsInt();
  if (!alignment.ok()) return Error(alignment.status().message());
  if (!GgufLimits::IsAlignment(*alignment)) {
    return Error("the alignment is ", *alignment, ", expected a power of two from ",
                 GgufLimits::kMinAlignment, " to ", GgufLimits::kMaxAlignment);
  }
  file_.alignment_ = *alignment;
  return absl::OkStatus();
}

absl::Status GgufReader::ReadDirectory(size_t count) {
  file_.tensors_.reserve(count);
  file_.tensor_index_.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    Enter("tensor", i);
    SLUICE_ASSIGN_OR_RETURN(name_, TakeName(GgufLimits::kTensorNameBytes));
    if (!file_.tensor_index_.emplace(name_, i).second) return Error("duplicate tensor");
    GgufTensor& tensor = file_.tensors_.emplace_back();
    tensor.name = std::string(name_);
    SLUICE_RETURN_IF_ERROR(ReadTensor(&tensor));
  }
  return absl::OkStatus();
}

// Leaves tensor->offset relative to the data section, which begins behind the directory.
absl::Status GgufReader::ReadTensor(GgufTensor* tensor) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t elements, ReadShape(&tensor->shape));
  SLUICE_ASSIGN_OR_RETURN(const uint32_t id, TakeNumber<uint32_t>("the tensor type"));
  const std::optional<DType> dtype = DTypeFromGgmlId(id);
  if (!dtype) return Error("unknown tensor type ", id);
  tensor->dtype = *dtype;
  const DTypeInfo& info = Info(*dtype);
  if (tensor->shape.back() % info.elements_per_block != 0) {
    return Error("rows of ", tensor->shape.back(), " elements are no multiple of the block size ",
                 info.elements_per_block, " of ", info.name);
  }
  const std::optional<int64_t> size = ByteSize(*dtype, elements);
  if (!size) return Error("the size of ", elements, " elements of ", info.name, " overflows");
  tensor->bytes = *size;

  SLUICE_ASSIGN_OR_RETURN(const uint64_t offset, TakeNumber<uint64_t>("the offset"));
  if (offset > bytes_.size()) {
    return Error("offset ", offset, " lies beyond the end of the file, ", bytes_.size(), " bytes");
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
  const size_t data_start = (pos_ + alignment - 1) / alignment * alignment;
  for (size_t i = 0; i < file_.tensors_.size(); ++i) {
    GgufTensor& tensor = file_.tensors_[i];
    Enter("tensor", i);
    name_ = tensor.name;
    item_ = data_start + static_cast<size_t>(tensor.offset);
    if (item_ > bytes_.size() || static_cast<size_t>(tensor.bytes) > bytes_.size() - item_) {
      return Error("the data, ", tensor.bytes, " bytes, goes beyond the end of the file, ",
                   bytes_.size(), " bytes: truncated?");
    }
    tensor.offset = static_cast<int64_t>(item_);
  }
  return CheckOverlaps();
}

absl::Status GgufReader::CheckOverlaps() {
  std::vector<size_t> order(file_.tensors_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto offset = [this](size_t i) { return file_.tensors_[i].offset; };
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return offset(a) < offset(b); });
  for (size_t i = 1; i < order.size(); ++i) {
    const GgufTensor& before = file_.tensors_[order[i - 1]];
    const GgufTensor& tensor = file_.tensors_[order[i]];
    if (before.offset + before.bytes <= tensor.offset) continue;
    Enter("tensor", order[i]);
    name_ = tensor.name;
    item_ = static_cast<size_t>(tensor.offset);
    return Error("the data begins inside that of tensor '", Printable(before.name),
                 "', which ends at byte ", before.offset + before.bytes, ": offsets overlap");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::Open(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> mapping, MappedFile::Open(path));
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, FromMemory(mapping->bytes(), path));
  file->mapping_ = std::move(mapping);
  return file;
}

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::FromMemory(absl::Span<const std::byte> bytes,
                                                               std::string name) {
  auto file = absl::WrapUnique(new GgufFile);
  file->path_ = std::move(name);
  file->bytes_ = bytes;
  SLUICE_RETURN_IF_ERROR(GgufReader(file.get()).Parse());
  return file;
}

}  // namespace sluice
