#include "graph/ops/rope_frequencies.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/ops/shape_check.h"

namespace sluice {
namespace {

bool IsFinitePositive(double value) { return std::isfinite(value) && value > 0; }

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

std::vector<AttrDef> RopeAttrs() {
  const auto number = [](std::string name, std::string doc, double value) {
    return AttrDef{.name = std::move(name),
                   .kind = AttrKind::kFloat,
                   .doc = std::move(doc),
                   .default_value = value,
                   .choices = {}};
  };
  return {
      {.name = "style",
       .kind = AttrKind::kString,
       .doc = "pair i is (i, i + dims/2) for neox, (2i, 2i+1) for interleaved",
       .default_value = std::nullopt,
       .choices = {"neox", "interleaved"}},
      {.name = "dims",
       .kind = AttrKind::kInt,
       .doc = "leading dimensions of each head that are rotated; even",
       .default_value = std::nullopt,
       .choices = {}},
      number("base", "pair i turns by base^(-2i/dims) per position", 10000.0),
      {.name = "scaling",
       .kind = AttrKind::kString,
       .doc = "how the frequencies are adapted to a longer context",
       .default_value = "none",
       .choices = {"none", "linear", "yarn"}},
      number("factor", "context extension, for linear and yarn", 1.0),
      {.name = "original_context",
       .kind = AttrKind::kInt,
       .doc = "context length in training, for yarn",
       .default_value = int64_t{0},
       .choices = {}},
      number("attn_factor", "scales the result, with any scaling", 1.0),
      number("beta_fast", "yarn keeps pairs that turn more often in the original context", 32.0),
      number("beta_slow", "yarn divides pairs that turn less often by factor", 1.0),
      number("ext_factor", "share of yarn's own frequencies; 0 leaves linear scaling", 1.0),
  };
}

absl::Status CheckRopeAttrs(const OpCall& call, int64_t width) {
  const int64_t dims = call.Int("dims");
  if (dims < 2 || dims > width || dims % 2 != 0) {
    return AttrError(call, "dims",
                     absl::StrCat("an even number in 2..", width, ", the size of a head"));
  }
  for (const char* name : {"base", "factor", "attn_factor", "beta_fast", "beta_slow"}) {
    if (!IsFinitePositive(call.Float(name))) {
      return AttrError(call, name, "a finite number above 0");
    }
  }
  const double ext_factor = call.Float("ext_factor");
  if (!std::isfinite(ext_factor) || ext_factor < 0) {
    return AttrError(call, "ext_factor", "a finite number of at least 0");
  }
  if (call.String("scaling") != "yarn") return absl::OkStatus();
  if (call.Int("original_context") <= 0) {
    return AttrError(call, "original_context", "a number of tokens above 0 where scaling=yarn");
  }
  if (call.Float("base") <= 1) {
    return AttrError(call, "base", "a number above 1 where scaling=yarn");
  }
  if (call.Float("beta_slow") > call.Float("beta_fast")) {
    return AttrError(call, "beta_slow",
                     absl::StrCat("at most beta_fast, which is ", call.Float("beta_fast")));
  }
  return absl::OkStatus();
}

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
