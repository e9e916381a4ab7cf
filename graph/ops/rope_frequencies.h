// Rotary position embeddings: their attributes, shared by `rope` and the ops that have it inside,
// and the rotation speeds that follow from them. The reference and the backends' kernels share
// these, so that they can differ in rounding only.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "graph/op_def.h"

namespace sluice {

std::vector<AttrDef> RopeAttrs();

// Checks RopeAttrs() of a call on heads of `width` elements.
absl::Status CheckRopeAttrs(const OpCall& call, int64_t width);

// RopeAttrs() in C++, of the same names and meanings. They are as CheckRopeAttrs accepts them.
struct RopeParams {
  enum class Scaling : uint8_t { kNone, kLinear, kYarn };

  int64_t dims = 0;  // rotated dimensions, even
  double base = 10000.0;
  Scaling scaling = Scaling::kNone;
  double factor = 1.0;
  int64_t original_context = 0;  // tokens; yarn only
  double attn_factor = 1.0;
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  double ext_factor = 1.0;
};

RopeParams RopeParamsOf(const OpCall& rope);

// Pair i of position p is turned by p * inverse[i] radians and scaled by `magnitude`.
struct RopeFrequencies {
  std::vector<double> inverse;  // [dims/2], radians per position
  double magnitude = 1.0;
};

// With theta_i = base^(-2i/dims) / freq_factors[i] (Su et al. 2021, "RoFormer"; the divisor is that
// of Llama 3's `rope_freqs`, 1 if the span is empty):
//   none    inverse_i = theta_i
//   linear  inverse_i = theta_i / factor                           (Chen et al. 2023)
//   yarn    inverse_i = (1 - m_i) theta_i / factor + m_i theta_i   (Peng et al. 2023, section 3.2)
//           m_i = ext_factor * (1 - clamp((i - low) / (high - low), 0, 1)),
//           low = max(0, floor(pair(beta_fast))), high = min(dims - 1, ceil(pair(beta_slow))),
//           pair(r) = dims * ln(original_context / (2 pi r)) / (2 ln base): the pair that turns r
//           times in the original context
// The magnitude is attn_factor, and for yarn attn_factor * (1 + 0.1 ln factor) (section 3.3: the
// temperature, put on both q and k) unless ext_factor is 0.
//
// InvalidArgument where a frequency factor is not a finite positive number. `freq_factors` is empty
// or has dims/2 elements.
absl::StatusOr<RopeFrequencies> ComputeRopeFrequencies(const RopeParams& params,
                                                       absl::Span<const float> freq_factors);

}  // namespace sluice
