// The parser behind GgufFile::Open and FromMemory: one pass over header, metadata and tensor
// directory, then a check of where the tensors lie.
#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>

#include "absl/memory/memory.h"
#include "absl/numeric/bits.h"
#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "models/gguf.h"

namespace sluice {
namespace {

static_assert(std::endian::native == std::endian::little, "values are loaded as they stand");
static_assert(sizeof(size_t) == sizeof(uint64_t), "models are larger than 4 GiB");

constexpr absl::string_view kMagic = "GGUF";
constexpr absl::string_view kAlignmentKey = "general.alignment";
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
  absl::Status ReadHeader();
  absl::Status CheckVersion(uint32_t version) const;
  absl::Status CheckCount(absl::string_view what, uint64_t count, size_t min_record) const;
  absl::Status ReadKey();
  absl::Status ReadValue(GgufValue* value);
  absl::Status ReadArray(GgufValue* value);
  absl::Status CheckBools(const GgufValue& value) const;
  absl::Status SetAlignment();
  absl::Status ReadTensor();
  absl::StatusOr<int64_t> ReadShape(std::vector<int64_t>* shape);
  absl::Status PlaceTensor(GgufTensor* tensor, size_t data_start) const;
  absl::Status CheckOverlaps() const;

  // Each advances past what it returns; item_ is then where that began.
  absl::StatusOr<absl::Span<const std::byte>> Take(absl::string_view what, uint64_t size);
  absl::StatusOr<absl::string_view> TakeString(absl::string_view what, int64_t limit);
  absl::StatusOr<GgufType> TakeType(absl::string_view what);
  template <typename T>
  absl::StatusOr<T> TakeNumber(absl::string_view what);

  // InvalidArgument with file, place and byte of the current item.
  template <typename... Args>
  absl::Status Error(const Args&... message) const;
  std::string Place() const;

  GgufFile& file_;
  absl::Span<const std::byte> bytes_;
  size_t pos_ = 0;
  size_t item_ = 0;

  // What is being read: the header, or one key or tensor, whose name is empty until known.
  absl::string_view section_ = "header";
  size_t index_ = 0;
  absl::string_view name_;
};

std::string GgufReader::Place() const {
  if (section_ == "header") return std::string(section_);
  if (name_.empty()) return absl::StrCat(section_, " ", index_);
  return absl::StrCat(section_, " '", Printable(name_), "'");
}

template <typename... Args>
absl::Status GgufReader::Error(const Args&... message) const {
  return absl::InvalidArgumentError(
      absl::StrCat(file_.path_, ": ", Place(), ", byte ", item_, ": ", message...));
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
  SLUICE_ASSIGN_OR_RETURN(const absl::Span<const std::byte> raw, Take(what, sizeof(T)));
  T value;
  std::memcpy(&value, raw.data(), sizeof(T));
  return value;
}

absl::StatusOr<absl::string_view> GgufReader::TakeString(absl::string_view what, int64_t limit) {
  SLUICE_ASSIGN_OR_RETURN(const uint64_t length, TakeNumber<uint64_t>(what));
  if (length > static_cast<uint64_t>(limit)) {
    return Error(what, " has a length of ", length, " bytes, which exceeds the limit of ", limit);
  }
  SLUICE_ASSIGN_OR_RETURN(const absl::Span<const std::byte> raw, Take(what, length));
  return absl::string_view(reinterpret_cast<const char*>(raw.data()), raw.size());
}

absl::StatusOr<GgufType> GgufReader::TakeType(absl::string_view what) {
  SLUICE_ASSIGN_OR_RETURN(const uint32_t id, TakeNumber<uint32_t>(what));
  if (id >= kGgufTypeCount) {
    return Error("unknown ", what, " ", id, ", expected 0 to ", kGgufTypeCount - 1);
  }
  return static_cast<GgufType>(id);
}

absl::Status GgufReader::Parse() {
  if (reinterpret_cast<uintptr_t>(bytes_.data()) % GgufLimits::kMinAlignment != 0) {
    return Error("the bytes begin at an address that is no multiple of ",
                 GgufLimits::kMinAlignment);
  }
  SLUICE_RETURN_IF_ERROR(ReadHeader());
  section_ = "key";
  for (index_ = 0; index_ < file_.metadata_.capacity(); ++index_) {
    SLUICE_RETURN_IF_ERROR(ReadKey());
  }
  return absl::OkStatus();
}

}  // namespace sluice
