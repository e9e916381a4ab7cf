#include "models/files/metadata.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

struct TypeInfo {
  absl::string_view name;
  size_t bytes;  // of one value, 0 where it varies
};

// Indexed by MetadataType.
constexpr std::array<TypeInfo, kMetadataTypeCount> kTypes = {{{"u8", 1},
                                                              {"i8", 1},
                                                              {"u16", 2},
                                                              {"i16", 2},
                                                              {"u32", 4},
                                                              {"i32", 4},
                                                              {"f32", 4},
                                                              {"bool", 1},
                                                              {"string", 0},
                                                              {"array", 0},
                                                              {"u64", 8},
                                                              {"i64", 8},
                                                              {"f64", 8}}};

template <typename T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

bool IsInteger(MetadataType type) {
  return ScalarBytes(type) > 0 && type != MetadataType::kF32 && type != MetadataType::kF64 &&
         type != MetadataType::kBool;
}

// `type` is an integer type. nullopt for a u64 that int64_t cannot hold.
std::optional<int64_t> LoadInt(MetadataType type, const std::byte* at) {
  switch (type) {
    case MetadataType::kU8:
      return Load<uint8_t>(at);
    case MetadataType::kI8:
      return Load<int8_t>(at);
    case MetadataType::kU16:
      return Load<uint16_t>(at);
    case MetadataType::kI16:
      return Load<int16_t>(at);
    case MetadataType::kU32:
      return Load<uint32_t>(at);
    case MetadataType::kI32:
      return Load<int32_t>(at);
    default:
      break;
  }
  const int64_t value = Load<int64_t>(at);
  if (type == MetadataType::kU64 && value < 0) return std::nullopt;
  return value;
}

// The double nearest to the shortest decimal that identifies `value` among floats.
double ShortestDecimal(float value) {
  if (!std::isfinite(value)) return value;
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  double result = 0;
  std::from_chars(text.data(), end, result);
  return result;
}

}  // namespace

absl::string_view Name(MetadataType type) { return kTypes[static_cast<size_t>(type)].name; }
size_t ScalarBytes(MetadataType type) { return kTypes[static_cast<size_t>(type)].bytes; }

MetadataValue MetadataValue::Array(MetadataType element, int64_t size,
                                   absl::Span<const std::byte> bytes) {
  MetadataValue value(MetadataType::kArray, bytes);
  value.element_type_ = element;
  value.size_ = size;
  return value;
}

absl::Status MetadataValue::WrongType(absl::string_view expected) const {
  std::string got(Name(type_));
  if (type_ == MetadataType::kArray) absl::StrAppend(&got, " of ", Name(element_type_));
  return absl::InvalidArgumentError(
      absl::StrCat("wrong value type: expected ", expected, ", got ", got));
}

bool MetadataValue::IsArrayOf(MetadataType element) const {
  return type_ == MetadataType::kArray && element_type_ == element;
}

absl::StatusOr<int64_t> MetadataValue::AsInt() const {
  if (!IsInteger(type_)) return WrongType("an integer");
  if (const std::optional<int64_t> value = LoadInt(type_, bytes_.data())) return *value;
  return absl::InvalidArgumentError(absl::StrCat("value ", Load<uint64_t>(bytes_.data()),
                                                 " is out of range, expected at most ",
                                                 std::numeric_limits<int64_t>::max()));
}

absl::StatusOr<double> MetadataValue::AsFloat() const {
  if (type_ == MetadataType::kF64) return Load<double>(bytes_.data());
  if (type_ == MetadataType::kF32) return ShortestDecimal(Load<float>(bytes_.data()));
  return WrongType("a float");
}

absl::StatusOr<bool> MetadataValue::AsBool() const {
  if (type_ != MetadataType::kBool) return WrongType("a bool");
  return bytes_[0] != std::byte{0};
}

absl::StatusOr<absl::string_view> MetadataValue::AsString() const {
  if (type_ != MetadataType::kString) return WrongType("a string");
  return absl::string_view(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
}

absl::StatusOr<std::vector<int64_t>> MetadataValue::AsInts() const {
  if (type_ != MetadataType::kArray || !IsInteger(element_type_)) {
    return WrongType("an array of integers");
  }
  const size_t step = ScalarBytes(element_type_);
  std::vector<int64_t> values;
  values.reserve(static_cast<size_t>(size_));
  for (size_t at = 0; at < bytes_.size(); at += step) {
    const std::optional<int64_t> value = LoadInt(element_type_, &bytes_[at]);
    if (!value) {
      return absl::InvalidArgumentError(
          absl::StrCat("element ", at / step, " is ", Load<uint64_t>(&bytes_[at]),
                       ", out of range, expected at most ", std::numeric_limits<int64_t>::max()));
    }
    values.push_back(*value);
  }
  return values;
}

absl::StatusOr<std::vector<float>> MetadataValue::AsFloats() const {
  if (!IsArrayOf(MetadataType::kF32)) return WrongType("an array of f32");
  std::vector<float> values(static_cast<size_t>(size_));
  if (!values.empty()) std::memcpy(values.data(), bytes_.data(), bytes_.size());
  return values;
}

absl::StatusOr<std::vector<absl::string_view>> MetadataValue::AsStrings() const {
  if (!IsArrayOf(MetadataType::kString)) return WrongType("an array of strings");
  std::vector<absl::string_view> values;
  values.reserve(static_cast<size_t>(size_));
  absl::Span<const std::byte> rest = bytes_;
  for (int64_t i = 0; i < size_; ++i) {
    // The lengths were checked when the file was opened; it may have been rewritten since.
    const uint64_t length = rest.size() < 8 ? rest.size() : Load<uint64_t>(rest.data());
    if (rest.size() < 8 || length > rest.size() - 8) {
      return absl::DataLossError(absl::StrCat("string ", i, " changed while the file was open"));
    }
    values.emplace_back(reinterpret_cast<const char*>(rest.data()) + 8, length);
    rest.remove_prefix(8 + length);
  }
  return values;
}

}  // namespace sluice
