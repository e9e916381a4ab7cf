// GGUF reading: header, metadata and tensor directory of one file, with every bound checked.
//
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3,
// little-endian). Nothing is copied but the directory: strings, arrays and tensor data are views
// into the mapped file, which a GgufFile keeps mapped while it lives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/dtype.h"

namespace sluice {

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
absl::string_view Name(GgufType type);

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
  absl::StatusOr<double> AsFloat() const;  // from f32 or f64; f32 as its shortest decimal
  absl::StatusOr<bool> AsBool() const;
  absl::StatusOr<absl::string_view> AsString() const;
  absl::StatusOr<std::vector<int64_t>> AsInts() const;
  absl::StatusOr<std::vector<float>> AsFloats() const;
  absl::StatusOr<std::vector<absl::string_view>> AsStrings() const;

 private:
  friend class GgufReader;
  GgufType type_ = GgufType::kU8;
  GgufType element_type_ = GgufType::kU8;
  int64_t size_ = 1;
  absl::Span<const std::byte> bytes_;  // payload, without a string's own length; array: all elements
};

struct GgufTensor {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;  // row-major, outermost first (reversed against the file)
  int64_t offset;              // of the data, from the start of the file
  int64_t bytes;
};

class GgufFile {
 public:
  // Maps the file. Errors: NotFound, or InvalidArgument that names the file, the place and what
  // was expected there. Tensor data is not touched.
  static absl::StatusOr<std::unique_ptr<GgufFile>> Open(const std::string& path);
  // Parses bytes that the caller keeps alive, e.g. the embedded model. `name` is for messages.
  static absl::StatusOr<std::unique_ptr<GgufFile>> FromMemory(absl::Span<const std::byte> bytes,
                                                              std::string name);
  ~GgufFile();
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

 private:
  friend class GgufReader;
  GgufFile() = default;

  std::string path_;
  absl::Span<const std::byte> bytes_;
  bool mapped_ = false;
  uint32_t version_ = 0;
  int64_t alignment_ = 32;
  std::vector<std::pair<absl::string_view, GgufValue>> metadata_;
  absl::flat_hash_map<absl::string_view, size_t> metadata_index_;
  std::vector<GgufTensor> tensors_;
  absl::flat_hash_map<absl::string_view, size_t> tensor_index_;
};

// Makes a name or value from a file fit for a terminal: control characters and invalid UTF-8
// become \xNN, and anything over `limit` bytes is cut with "...".
std::string Printable(absl::string_view text, size_t limit = 80);

}  // namespace sluice
