// Model files of known shapes: without data (a few MB on disk, whatever their size), or with random
// weights that run at the real model's speed and say nothing of its language.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "graph/dtype.h"
#include "models/shapes/model_shape.h"
#include "models/weights/quantisation_mix.h"

namespace sluice {

struct ShapedTensor {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;  // row-major, outermost first
  int64_t elements() const;
  int64_t bytes() const;
};

// Every tensor of the model's GGUF file, in the usual order. `layers` 0: the model's own.
std::vector<ShapedTensor> ShapedTensors(const ModelShape& shape, const QuantisationMix& mix,
                                        int64_t layers = 0);

struct ShapedModelOptions {
  const QuantisationMix* mix = nullptr;  // required
  int64_t layers = 0;                    // 0: the model's own
  bool metadata_only = false;            // tensors are holes in a sparse file, and read as zeros
  uint64_t seed = 1;                     // of the weights
  std::function<void(int64_t bytes)> on_written = {};  // called as tensor data is made
};

// Writes the file. Norms are ones, matrices random with mean 0 and a deviation of 1 / sqrt(inputs),
// so that products keep their size; the rows of an embedding table that is not the output, too,
// have deviation 1, so that tokens differ and routers spread them over the experts.
// ResourceExhausted, before anything is written, if the disk has not enough room; otherwise the
// errors of GgufWriter::Write.
absl::Status WriteShapedModel(const ModelShape& shape, const ShapedModelOptions& options,
                              const std::string& path);

}  // namespace sluice
