// Which tensor of a model gets which block format: the mixes that files are usually quantised to.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/dtype.h"
#include "models/shapes/model_shape.h"

namespace sluice {

struct QuantisationMix {
  absl::string_view name;  // "Q4_K_M", for command lines
  uint32_t file_type;      // general.file_type
  DType dtype;             // of most matrices
};

// F16, Q8_0, Q4_0, Q4_K_M.
absl::Span<const QuantisationMix> QuantisationMixes();
const QuantisationMix* FindQuantisationMix(absl::string_view name);  // nullptr if unknown

enum class TensorRole : uint8_t {
  kVector,     // norms, routers, rope factors: always f32
  kEmbedding,  // the table; with a tied output that, too
  kOutput,
  kAttentionKey,
  kAttentionValue,
  kAttentionOutput,
  kFeedForwardDown,  // of experts, too
  kMatrix,           // any other
};

// The format in which llama.cpp v0.5.0's quantiser stores a tensor of layer `layer` of `layers`
// (any number outside of layers), without an importance matrix and without overrides.
DType DTypeInMix(const QuantisationMix& mix, const ModelShape& shape, TensorRole role,
                 int64_t layer, int64_t layers);

}  // namespace sluice
