#include "models/gguf.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "models/utf8.h"

namespace sluice {
namespace {

struct TypeInfo {
  absl::string_view name;
  size_t bytes;  // of one value, 0 where it varies
};

// Indexed by GgufType.
constexpr std::array<TypeInfo, kGgufTypeCount> kTypes = {{{"u8", 1},
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

bool IsInteger(GgufType type) {
  return ScalarBytes(type) > 0 && type != GgufType::kF32 && type != GgufType::kF64 &&
         type != GgufType::kBool;
}

// `type` is an integer type. nullopt for a u64 that int64_t cannot hold.
std::optional<int64_t> LoadInt(GgufType type, const std::byte* at) {
  switch (type) {
    case GgufType::kU8:
      return Load<uint8_t>(at);
    case GgufType::kI8:
      return Load<int8_t>(at);
    case GgufType::kU16:
      return Load<uint16_t>(at);
    case GgufType::kI16:
      return Load<int16_t>(at);
    case GgufType::kU32:
      return Load<uint32_t>(at);
    case GgufType::kI32:
      return Load<int32_t>(at);
    default:
      break;
  }
  const int64_t value = Load<int64_t>(at);
  if (type == GgufType::kU64 && value < 0) return std::nullopt;
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

// Well-formed (Unicode 15, table 3-7) and nothing that a terminal acts on: C0, DEL, C1.
bool IsPrintable(const CodePoint& code, absl::string_view encoded) {
  std::string shortest;
  AppendUtf8(code.value, &shortest);
  const bool surrogate = code.value >= 0xD800 && code.value <= 0xDFFF;
  const bool control = code.value < 0x20 || (code.value >= 0x7F && code.value <= 0x9F);
  return shortest == encoded && !surrogate && !control;
}

}  // namespace

absl::string_view Name(GgufType type) { return kTypes[static_cast<size_t>(type)].name; }
size_t ScalarBytes(GgufType type) { return kTypes[static_cast<size_t>(type)].bytes; }

absl::Status GgufValue::WrongType(absl::string_view expected) const {
  std::string got(Name(type_));
  if (type_ == GgufType::kArray) absl::StrAppend(&got, " of ", Name(element_type_));
  return absl::InvalidArgumentError(
      absl::StrCat("wrong value type: expected ", expected, ", got ", got));
}

bool GgufValue::IsArrayOf(GgufType element) const {
  return type_ == GgufType::kArray && element_type_ == element;
}

absl::StatusOr<int64_t> GgufValue::AsInt() const {
  if (!IsInteger(type_)) return WrongType("an integer");
  if (const std::optional<int64_t> value = LoadInt(type_, bytes_.data())) return *value;
  return absl::InvalidArgumentError(absl::StrCat("value ", Load<uint64_t>(bytes_.data()),
                                                 " is out of range, expected at most ",
                                                 std::numeric_limits<int64_t>::max()));
}

absl::StatusOr<double> GgufValue::AsFloat() const {
  if (type_ == GgufType::kF64) return Load<double>(bytes_.data());
  if (type_ == GgufType::kF32) return ShortestDecimal(Load<float>(bytes_.data()));
  return WrongType("a float");
}

absl::StatusOr<bool> GgufValue::AsBool() const {
  if (type_ != GgufType::kBool) return WrongType("a bool");
  return bytes_[0] != std::byte{0};
}

absl::StatusOr<absl::string_view> GgufValue::AsString() const {
  if (type_ != GgufType::kString) return WrongType("a string");
  return absl::string_view(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
}

absl::StatusOr<std::vector<int64_t>> GgufValue::AsInts() const {
  if (type_ != GgufType::kArray || !IsInteger(element_type_)) {
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

absl::StatusOr<std::vector<float>> GgufValue::AsFloats() const {
  if (!IsArrayOf(GgufType::kF32)) return WrongType("an array of f32");
  std::vector<float> values(static_cast<size_t>(size_));
  if (!values.empty()) std::memcpy(values.data(), bytes_.data(), bytes_.size());
  return values;
}

absl::StatusOr<std::vector<absl::string_view>> GgufValue::AsStrings() const {
  if (!IsArrayOf(GgufType::kString)) return WrongType("an array of strings");
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

const GgufValue* GgufFile::Find(absl::string_view key) const {
  const auto it = metadata_index_.find(key);
  return it == metadata_index_.end() ? nullptr : &metadata_[it->second].second;
}

const GgufTensor* GgufFile::FindTensor(absl::string_view name) const {
  const auto it = tensor_index_.find(name);
  return it == tensor_index_.end() ? nullptr : &tensors_[it->second];
}

absl::Span<const std::byte> GgufFile::Data(const GgufTensor& tensor) const {
  return bytes_.subspan(static_cast<size_t>(tensor.offset), static_cast<size_t>(tensor.bytes));
}

void GgufFile::Release(absl::Span<const std::byte> part) const {
  const std::less_equal<const std::byte*> not_after;
  const bool is_mine = not_after(bytes_.data(), part.data()) &&
                       not_after(part.data() + part.size(), bytes_.data() + bytes_.size());
  if (mapping_ != nullptr && is_mine) mapping_->Release(part);
}

absl::Status GgufFile::CheckNotShrunk() const {
  return mapping_ ? mapping_->CheckNotShrunk() : absl::OkStatus();
}

std::string Printable(absl::string_view text, size_t limit) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const CodePoint code = DecodeUtf8(text.substr(at));
    const absl::string_view encoded = text.substr(at, code.bytes);
    at += code.bytes;
    if (at > limit) return result + "...";
    if (IsPrintable(code, encoded)) {
      absl::StrAppend(&result, encoded);
    } else {
      for (const char c : encoded) {
        absl::StrAppendFormat(&result, "\\x%02X", static_cast<unsigned char>(c));
      }
    }
  }
  return result;
}

}  // namespace sluice
