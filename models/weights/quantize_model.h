// A model file in other formats: what each tensor becomes, and the writing of it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "graph/dtype.h"
#include "models/files/model_files.h"
#include "models/weights/quantisation_mix.h"
#include "models/weights/type_override.h"

namespace sluice {

struct QuantizeOptions {
  const QuantisationMix* mix = nullptr;  // required
  bool pure = false;                     // every matrix in the mix's main format
  std::vector<TypeOverride> overrides;   // before the mix's rules; the first that matches wins
  bool allow_requantize = false;         // otherwise block formats are only copied
  int threads = 1;
  std::optional<int64_t> disk_bytes;  // what the disk has left; nullopt: the disk is asked
  // Called on the caller's thread as data is made; false stops with a Cancelled error.
  std::function<bool(int64_t bytes)> on_written = {};
};

struct TensorPlan {
  const WeightSource* file;
  const StoredTensor* tensor;
  DType dtype;  // that it gets
  int64_t elements() const;
  int64_t bytes() const;
};

// What every tensor of a model becomes, in file order. Norms, biases and routers stay as they are.
// Errors name the file and the key or tensor: a model without architecture or layers, a tensor that
// would be quantised a second time or cannot be decoded, a pattern that takes too long.
absl::StatusOr<std::vector<TensorPlan>> PlanQuantization(const ModelFiles& files,
                                                         const QuantizeOptions& options);

// Writes the tensors of `plan` with the metadata of `files` to one file, whatever the number of
// parts it came in. Memory: one tensor at a time. Errors: InvalidArgument for a path that is one of
// the model's own files, or a tensor with a value that its format cannot hold; ResourceExhausted,
// before anything is written, if the disk has not enough room; Cancelled; and those of
// GgufWriter::Write, which leaves no half file either.
absl::Status WriteQuantized(const ModelFiles& files, absl::Span<const TensorPlan> plan,
                            const QuantizeOptions& options, const std::string& path);

}  // namespace sluice
