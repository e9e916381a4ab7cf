// GGUF writing (version 3), for tests, benchmarks and tools that make model files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/dtype.h"
#include "models/gguf.h"

namespace sluice {

class GgufWriter {
 public:
  // Metadata is written in the order of the calls. A key given twice is an error of Write().
  void SetU32(absl::string_view key, uint32_t value);
  void SetF32(absl::string_view key, float value);
  void SetBool(absl::string_view key, bool value);
  void SetString(absl::string_view key, absl::string_view value);
  void SetStrings(absl::string_view key, absl::Span<const std::string> values);
  void SetI32s(absl::string_view key, absl::Span<const int32_t> values);
  void SetF32s(absl::string_view key, absl::Span<const float> values);
  // Copies a value of another file as it is.
  void SetValue(absl::string_view key, const GgufValue& value);

  // Fills `data` (the tensor's whole storage) when Write() reaches the tensor.
  using FillFn = std::function<absl::Status(absl::Span<std::byte> data)>;
  // `shape` is row-major, outermost first. Without `fill` the data is a hole in a sparse file:
  // it reads as zeros and takes no disk space, which is what a metadata-only model needs.
  void AddTensor(absl::string_view name, DType dtype, absl::Span<const int64_t> shape,
                 FillFn fill = nullptr);

  // Writes to `path` + ".partial" and renames, so that a reader never sees half a file.
  absl::Status Write(const std::string& path, int64_t alignment = 32) const;

 private:
  struct Entry {
    std::string key;
    std::string bytes;  // type and payload, as in the file
  };
  struct Tensor {
    std::string name;
    DType dtype;
    std::vector<int64_t> shape;
    FillFn fill;
  };
  std::vector<Entry> metadata_;
  std::vector<Tensor> tensors_;
};

}  // namespace sluice
