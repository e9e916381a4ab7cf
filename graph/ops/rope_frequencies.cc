#include "graph/ops/rope_frequencies.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

RopeParams::Scaling ScalingFromName(const std::string& name) {
  if (name == "linear") return RopeParams::Scaling::kLinear;
  if (name == "yarn") return RopeParams::Scaling::kYarn;
  return RopeParams::Scaling::kNone;
}

// The (fractional) index of the pair that turns `rotations` times in the original context.
double PairThatTurns(const RopeParams& params, double rotations) {
  const double wavelength = static_cast<double>(params.original_context) / rotations;
  return static_cast<double>(params.dims) * std::log(wavelength / (2 * std::numbers::pi)) /
         (2 * std::log(params.base));
}

// How much each pair keeps its own frequency: 1 for fast pairs, 0 for slow ones, a ramp between.
class YarnRamp {
 public:
  explicit YarnRamp(const RopeParams& params) {
    const double last = static_cast<double>(params.dims - 1);
    low_ = std::max(0.0, std::floor(PairThatTurns(params, params.beta_fast)));
    high_ = std::min(last, std::ceil(PairThatTurns(params, params.beta_slow)));
  }

  double Extrapolated(size_t pair) const {
    // Where both ends fall on one pair, the ramp is a step of this width.
    constexpr double kMinWidth = 0.001;
    const double along = (static_cast<double>(pair) - low_) / std::max(kMinWidth, high_ - low_);
    return 1.0 - std::clamp(along, 0.0, 1.0);
  }

 private:
  double low_;
  double high_;
};

void InterpolateYarn(const RopeParams& params, RopeFrequencies* frequencies) {
  const YarnRamp ramp(params);
  for (size_t i = 0; i < frequencies->inverse.size(); ++i) {
    const double mix = ramp.Extrapolated(i) * params.ext_factor;
    frequencies->inverse[i] *= (1.0 - mix) / params.factor + mix;
  }
  if (params.ext_factor != 0.0) frequencies->magnitude *= 1.0 + 0.1 * std::log(params.factor);
}

}  // namespace

RopeParams RopeParamsOf(const OpCall& rope) {
  return {.dims = rope.Int("dims"),
          .base = rope.Float("base"),
          .scaling = ScalingFromName(rope.String("scaling")),
          .factor = rope.Float("factor"),
          .original_context = rope.Int("original_context"),
          .attn_factor = rope.Float("attn_factor"),
          .beta_fast = rope.Float("beta_fast"),
          .beta_slow = rope.Float("beta_slow"),
          .ext_factor = rope.Float("ext_factor")};
}

absl::StatusOr<RopeFrequencies> ComputeRopeFrequencies(const RopeParams& params,
                                                       absl::Span<const float> freq_factors) {
  RopeFrequencies frequencies;
  frequencies.magnitude = params.attn_factor;
  frequencies.inverse.resize(static_cast<size_t>(params.dims / 2));
  const double dims = static_cast<double>(params.dims);
  for (size_t i = 0; i < frequencies.inverse.size(); ++i) {
    frequencies.inverse[i] = std::pow(params.base, -2.0 * static_cast<double>(i) / dims);
  }
  for (size_t i = 0; i < freq_factors.size(); ++i) {
    if (!std::isfinite(freq_factors[i]) || freq_factors[i] <= 0.0F) {
      return absl::InvalidArgumentError(absl::StrCat("freq_factors[", i, "] is ", freq_factors[i],
                                                     ", expected a finite number above 0"));
    }
    frequencies.inverse[i] /= static_cast<double>(freq_factors[i]);
  }
  switch (params.scaling) {
    case RopeParams::Scaling::kNone:
      break;
    case RopeParams::Scaling::kLinear:
      for (double& inverse : frequencies.inverse) inverse /= params.factor;
      break;
    case RopeParams::Scaling::kYarn:
      InterpolateYarn(params, &frequencies);
      break;
  }
  return frequencies;
}

}  // namespace sluice
