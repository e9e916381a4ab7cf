// GGUF reading: header, metadata and tensor directory of one file, with every bound checked.
//
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3,
// little-endian). Nothing is copied but the directory: strings, arrays and tensor data are views
// into the mapped file, which a GgufFile keeps mapped while it lives. A file that is rewritten in
// place meanwhile gives wrong values but no access out of bounds; one that is cut short is the
// business of CheckNotShrunk() (see mapped_file.h).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/dtype.h"
#include "models/mapped_file.h"

namespace sluice {

// What a file may hold. Beyond the format's own rules these keep the cost of a hostile file in
// proportion to its size.
struct GgufLimits {
  static constexpr int64_t kDims = 4;
  static constexpr int64_t kTensorNameBytes = 63;
  static constexpr int64_t kKeyBytes = 65535;
  static constexpr int64_t kStringBytes = int64_t{1} << 30;
  static constexpr int64_t kArrayElements = int64_t{1} << 30;
  static constexpr int64_t kEntries = int64_t{1} << 20;  // keys, and tensors
  // general.alignment is a power of two in this range; 8 is what typed access needs.
  static constexpr int64_t kMinAlignment = 8;
  static constexpr int64_t kMaxAlignment = int64_t{1} << 30;
  static constexpr int64_t kDefaultAlignment = 32;
  static constexpr bool IsAlignment(int64_t value) {
    return value >= kMinAlignment && value <= kMaxAlignment &&
           std::has_single_bit(static_cast<uint64_t>(value));
  }
};

// Value types in the file's own numbering.
enum class GgufType : uint32_t {
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
inline constexpr uint32_t kGgufTypeCount = 13;
absl::string_view Name(GgufType type);  // "u8", ..., "string", "array"
size_t ScalarBytes(GgufType type);      // 0 for strings and arrays

// A metadata value: a scalar, a string or a one-dimensional array of either; nested arrays are
// rejected when the file is opened. Views stay valid while the GgufFile lives.
class GgufValue {
 public:
  GgufType type() const { return type_; }
  GgufType element_type() const { return element_type_; }  // of an array
  int64_t size() const { return size_; }                   // elements of an array, otherwise 1

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

  // The payload as it stands in the file: a string without its length, an array without element
  // type and count (but each string in it with its length).
  absl::Span<const std::byte> bytes() const { return bytes_; }

 private:
  friend class GgufReader;
  absl::Status WrongType(absl::string_view expected) const;
  bool IsArrayOf(GgufType element) const;

  GgufType type_ = GgufType::kU8;
  GgufType element_type_ = GgufType::kU8;
  int64_t size_ = 1;
  absl::Span<const std::byte> bytes_;
};

struct GgufTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // row-major, outermost first (reversed against the file)
  int64_t offset = 0;          // of the data, from the start of the file
  int64_t bytes = 0;
};

class GgufFile {
 public:
  // Maps the file. Errors: those of MappedFile::Open, or InvalidArgument that names the file, the
  // place (key or tensor, byte) and what was expected there. Tensor data is not touched.
  static absl::StatusOr<std::unique_ptr<GgufFile>> Open(const std::string& path);
  // Parses bytes that the caller keeps alive, e.g. the embedded model; they must begin at a
  // multiple of GgufLimits::kMinAlignment. `name` is for messages.
  static absl::StatusOr<std::unique_ptr<GgufFile>> FromMemory(absl::Span<const std::byte> bytes,
                                                              std::string name);
  GgufFile(const GgufFile&) = delete;
  GgufFile& operator=(const GgufFile&) = delete;

  const std::string& path() const { return path_; }
  uint32_t version() const { return version_; }
  int64_t alignment() const { return alignment_; }

  // In file order.
  absl::Span<const std::pair<absl::string_view, GgufValue>> metadata() const { return metadata_; }
  const GgufValue* Find(absl::string_view key) const;  // nullptr if absent
  absl::Span<const GgufTensor> tensors() const { return tensors_; }
  const GgufTensor* FindTensor(absl::string_view name) const;
  absl::Span<const std::byte> Data(const GgufTensor& tensor) const;

  // MappedFile::Release for `part`, if it is mapped memory of this file; else nothing.
  void Release(absl::Span<const std::byte> part) const;

  // DataLoss if the file has become shorter since Open(). Cheap enough for every step.
  absl::Status CheckNotShrunk() const;

 private:
  friend class GgufReader;
  GgufFile() = default;

  std::string path_;
  std::unique_ptr<MappedFile> mapping_;  // null for FromMemory
  absl::Span<const std::byte> bytes_;
  uint32_t version_ = 0;
  int64_t alignment_ = GgufLimits::kDefaultAlignment;
  std::vector<std::pair<absl::string_view, GgufValue>> metadata_;
  absl::flat_hash_map<absl::string_view, size_t> metadata_index_;
  std::vector<GgufTensor> tensors_;
  absl::flat_hash_map<absl::string_view, size_t> tensor_index_;
};

// Makes a name or value from a file fit for a terminal: control characters and invalid UTF-8
// become \xNN, and anything over `limit` bytes is cut, between characters, with "...".
std::string Printable(absl::string_view text, size_t limit = 80);

}  // namespace sluice
