#include "models/files/file_reader.h"

#include <bit>
#include <optional>

#include "absl/strings/match.h"
#include "models/unicode/printable.h"

namespace sluice {

static_assert(std::endian::native == std::endian::little, "values are loaded as they stand");
static_assert(sizeof(size_t) == sizeof(uint64_t), "models are larger than 4 GiB");

absl::StatusOr<absl::Span<const std::byte>> FileReader::Take(absl::string_view what,
                                                             uint64_t size) {
  item_ = pos_;
  if (size > left()) {
    return Error("unexpected end of file: ", what, " takes ", size, " bytes, ", left(),
                 " are left");
  }
  pos_ += size;
  return bytes_.subspan(item_, size);
}

absl::StatusOr<absl::string_view> FileReader::TakeText(absl::string_view what, uint64_t size,
                                                       uint64_t limit) {
  if (size > limit) {
    return Error(what, " has a length of ", size, " bytes, which exceeds the limit of ", limit);
  }
  SLUICE_ASSIGN_OR_RETURN(const auto raw, Take(what, size));
  return absl::string_view(reinterpret_cast<const char*>(raw.data()), raw.size());
}

absl::StatusOr<absl::string_view> FileReader::TakeName(uint64_t size, uint64_t limit) {
  SLUICE_ASSIGN_OR_RETURN(const absl::string_view name, TakeText("the name", size, limit));
  if (name.empty()) return Error("the name is empty");
  if (absl::StrContains(name, '\0')) {
    return Error("the name '", Printable(name), "' contains a NUL");
  }
  name_ = name;
  return name;
}

void FileReader::Enter(absl::string_view section, size_t index) {
  section_ = section;
  index_ = index;
  name_ = {};
}

void FileReader::Revisit(absl::string_view section, absl::string_view name, size_t byte) {
  section_ = section;
  name_ = name;
  item_ = byte;
}

std::string FileReader::Place() const {
  if (section_.empty()) return "header";
  if (name_.empty()) return absl::StrCat(section_, " ", index_);
  return absl::StrCat(section_, " '", Printable(name_), "'");
}

absl::StatusOr<int64_t> FileReader::SizeOf(DType dtype, int64_t row, int64_t elements) const {
  const DTypeInfo& info = Info(dtype);
  if (row % info.elements_per_block != 0) {
    return Error("rows of ", row, " elements are no multiple of the block size ",
                 info.elements_per_block, " of ", info.name);
  }
  if (const std::optional<int64_t> size = ByteSize(dtype, elements)) return *size;
  return Error("the size of ", elements, " elements of ", info.name, " overflows");
}

}  // namespace sluice
