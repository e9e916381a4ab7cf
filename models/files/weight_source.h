// A file that models are stored in, whatever its format: metadata and named tensors.
//
// Everything is told in GGUF's terms (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md):
// its keys, its tensor names, its vocabulary. A file of another format is translated when it is
// opened, so that nothing behind this interface knows of more than one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/dtype.h"
#include "models/files/mapped_file.h"
#include "models/files/metadata.h"
#include "models/unicode/printable.h"

namespace sluice {

struct StoredTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // row-major, outermost first
  int64_t offset = 0;          // of the data, from the start of the file
  int64_t bytes = 0;
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  WeightSource(const WeightSource&) = delete;
  WeightSource& operator=(const WeightSource&) = delete;

  const std::string& path() const { return path_; }
  virtual std::string format() const = 0;  // "GGUF 3"

  // In file order.
  absl::Span<const std::pair<absl::string_view, MetadataValue>> metadata() const {
    return metadata_;
  }
  const MetadataValue* Find(absl::string_view key) const;  // nullptr if absent
  absl::Span<const StoredTensor> tensors() const { return tensors_; }
  const StoredTensor* FindTensor(absl::string_view name) const;

  // What every dtype's elements and blocks can be read at.
  static constexpr size_t kDataAlignment = 4;
  // The bytes of one of tensors(), at a multiple of kDataAlignment. They live as long as this.
  virtual absl::Span<const std::byte> Data(const StoredTensor& tensor) const;

  // MappedFile::Release for `part`, if it is mapped memory of this file; else nothing.
  void Release(absl::Span<const std::byte> part) const;

  // DataLoss if the file has become shorter since it was opened. Cheap enough for every step.
  absl::Status CheckNotShrunk() const;

 protected:
  explicit WeightSource(std::unique_ptr<MappedFile> mapping);
  // `bytes` outlive this; `name` stands for the path.
  WeightSource(absl::Span<const std::byte> bytes, std::string name);

  absl::Span<const std::byte> bytes() const { return bytes_; }  // the whole file

  // Neither was added before. `key` and the value's bytes outlive this.
  void AddKey(absl::string_view key, const MetadataValue& value);
  void AddTensor(StoredTensor tensor);

 private:
  std::string path_;
  std::unique_ptr<MappedFile> mapping_;  // null for bytes in memory
  absl::Span<const std::byte> bytes_;
  std::vector<std::pair<absl::string_view, MetadataValue>> metadata_;
  absl::flat_hash_map<absl::string_view, size_t> metadata_index_;
  std::vector<StoredTensor> tensors_;
  absl::flat_hash_map<std::string, size_t> tensor_index_;
};

}  // namespace sluice
