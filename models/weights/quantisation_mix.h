// Which tensor of a model gets which block format: the mixes that files are usually quantised to.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/dtype.h"

namespace sluice {

struct QuantisationMix {
  absl::string_view name;  // "Q4_K_M", for command lines
  uint32_t file_type;      // general.file_type
  DType dtype;             // of most matrices
};

// From F32 to Q6_K; every format in them has an encoder.
absl::Span<const QuantisationMix> QuantisationMixes();
const QuantisationMix* FindQuantisationMix(absl::string_view name);  // nullptr if unknown

// general.quantization_version: of the block formats, as every current file has it.
inline constexpr uint32_t kQuantizationVersion = 2;

// What the rules want to know of a model.
struct MixModel {
  absl::string_view architecture;
  int64_t layers = 0;
  int64_t heads = 0, kv_heads = 0;
  int64_t experts = 0;       // 0: dense
  bool tied_output = false;  // the embedding is the output, too
};

// Whether mixes concern a tensor at all: matrices do, but for norms, routers and an encoder's
// tables of positions and kinds of segments, which stay as they are. `shape` is row-major,
// outermost first, and not empty.
bool IsQuantisable(absl::string_view name, absl::Span<const int64_t> shape);

// The format in which llama.cpp v0.5.0's quantiser stores such a tensor, without an importance
// matrix. A format that the rows do not fit, because they are no multiple of its blocks, is
// replaced as FittingDType() says.
DType DTypeInMix(const QuantisationMix& mix, const MixModel& model, absl::string_view name,
                 absl::Span<const int64_t> shape);

// `dtype`, or where rows of `columns` elements are no multiple of its blocks, a slightly larger
// format of smaller blocks; in the end F16.
DType FittingDType(DType dtype, int64_t columns);

}  // namespace sluice
