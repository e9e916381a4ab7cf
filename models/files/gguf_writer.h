// GGUF writing (version 3), for tests, benchmarks and tools that make model files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/dtype.h"
#include "models/files/gguf.h"
#include "models/files/output_file.h"

namespace sluice {

struct GgufWriteOptions {
  int64_t alignment = GgufLimits::kDefaultAlignment;
  OutputOptions output = {};  // its sizes are the writer's to fill in
  // Looks at what was written, and may refuse it, before it stands under its name.
  std::function<absl::Status(const OutputFile&)> check = nullptr;
};

class GgufWriter {
 public:
  // Metadata is written in the order of the calls. A key given twice is an error of Write().
  void SetU32(absl::string_view key, uint32_t value);
  void SetI32(absl::string_view key, int32_t value);
  void SetU64(absl::string_view key, uint64_t value);
  void SetF32(absl::string_view key, float value);
  // A number or bool of any type, as it stands in memory: ScalarBytes(type) bytes.
  void SetScalar(absl::string_view key, MetadataType type, absl::Span<const std::byte> value);
  void SetBool(absl::string_view key, bool value);
  void SetString(absl::string_view key, absl::string_view value);
  void SetStrings(absl::string_view key, absl::Span<const std::string> values);
  void SetI32s(absl::string_view key, absl::Span<const int32_t> values);
  void SetF32s(absl::string_view key, absl::Span<const float> values);
  // Copies a value of another file as it is, whatever its type.
  void SetValue(absl::string_view key, const MetadataValue& value);

  // Fills `data` (the tensor's whole storage, zeros) when Write() reaches the tensor.
  using FillFn = std::function<absl::Status(absl::Span<std::byte> data)>;
  // `shape` is row-major, outermost first. Without `fill` the data is a hole in a sparse file:
  // it reads as zeros and takes no disk space, which is what a metadata-only model needs.
  void AddTensor(absl::string_view name, DType dtype, absl::Span<const int64_t> shape,
                 FillFn fill = nullptr);

  // Writes from the first byte to the last, by way of an OutputFile: after an error `path` is as it
  // was. The key general.alignment is added where `alignment` is not the default; setting it is an
  // error, so that key and layout cannot disagree. Errors: InvalidArgument that names the key or
  // tensor which GgufFile would reject, the error of a fill with the tensor's name,
  // ResourceExhausted for a tensor whose data does not fit into memory, and those of OutputFile.
  absl::Status Write(const std::string& path, const GgufWriteOptions& options = {}) const;

 private:
  struct Entry {
    std::string key;
    std::string value;  // type and payload, as in the file
  };
  struct Tensor {
    std::string name;
    DType dtype;
    std::vector<int64_t> shape;
    FillFn fill;
  };
  // Where a tensor's data goes, in bytes.
  struct Extent {
    int64_t offset;  // from the start of the data section
    int64_t bytes;
  };
  struct Layout {
    std::string header;  // from the magic to the last tensor's record
    std::vector<Extent> extents;
    int64_t data_start = 0, file_bytes = 0;
    int64_t holes = 0;  // bytes of the tensors without a fill
  };
  absl::StatusOr<std::string> Metadata(int64_t alignment) const;  // from the magic to the last key
  absl::StatusOr<std::vector<Extent>> Extents(int64_t alignment) const;
  absl::StatusOr<Layout> LayOut(int64_t alignment) const;
  absl::Status WriteAll(const std::string& path, const GgufWriteOptions& options) const;
  absl::Status WriteTensor(const Tensor& tensor, int64_t bytes, OutputFile& file) const;

  std::vector<Entry> metadata_;
  std::vector<Tensor> tensors_;
};

}  // namespace sluice
