// What a model file says about its model: values with types, under keys.
//
// Keys and types are those of GGUF, whatever the file's format: see weight_source.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

// Value types, numbered as in GGUF files.
enum class MetadataType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};
inline constexpr uint32_t kMetadataTypeCount = 13;
absl::string_view Name(MetadataType type);  // "u8", ..., "string", "array"
size_t ScalarBytes(MetadataType type);      // 0 for strings and arrays

// A metadata value: a scalar, a string or a one-dimensional array of either; nested arrays are
// no values. Views stay valid while the WeightSource lives.
class MetadataValue {
 public:
  MetadataValue() = default;
  // `bytes` are the payload as a GGUF file has it (see bytes()), of the right size for the type.
  MetadataValue(MetadataType scalar_or_string, absl::Span<const std::byte> bytes)
      : type_(scalar_or_string), bytes_(bytes) {}
  static MetadataValue Array(MetadataType element, int64_t size, absl::Span<const std::byte> bytes);

  MetadataType type() const { return type_; }
  MetadataType element_type() const { return element_type_; }  // of an array
  int64_t size() const { return size_; }                       // elements of an array, otherwise 1

  // InvalidArgument with got and expected types if the value has another one. Integers convert
  // between widths where the value fits. Callers prepend the key.
  absl::StatusOr<int64_t> AsInt() const;
  // From f32 or f64. An f32 is returned as the double nearest to its shortest decimal form
  // (1e-06, not 9.99999997e-07), so that it prints as the model's author wrote it; rounding the
  // result to float gives the stored value. NaN and infinities pass.
  absl::StatusOr<double> AsFloat() const;
  absl::StatusOr<bool> AsBool() const;
  absl::StatusOr<absl::string_view> AsString() const;
  absl::StatusOr<std::vector<int64_t>> AsInts() const;  // arrays of any integer type
  absl::StatusOr<std::vector<float>> AsFloats() const;  // arrays of f32, bit for bit
  absl::StatusOr<std::vector<absl::string_view>> AsStrings() const;

  // The payload as it stands in a GGUF file: a string without its length, an array without element
  // type and count (but each string in it with its length).
  absl::Span<const std::byte> bytes() const { return bytes_; }

 private:
  absl::Status WrongType(absl::string_view expected) const;
  bool IsArrayOf(MetadataType element) const;

  MetadataType type_ = MetadataType::kU8;
  MetadataType element_type_ = MetadataType::kU8;
  int64_t size_ = 1;
  absl::Span<const std::byte> bytes_;
};

}  // namespace sluice
