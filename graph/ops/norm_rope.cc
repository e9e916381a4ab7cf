// Normalisation and rotary positions: rms_norm and rope.
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "graph/ops/ops.h"
#include "graph/ops/rope_frequencies.h"
#include "graph/ops/shape_check.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

// Both ops
constexpr size_t kX = 0;
// rms_norm
constexpr size_t kWeight = 1;
// rope
constexpr size_t kPositions = 1;
constexpr size_t kFreqFactors = 2;

bool IsFinitePositive(double value) { return std::isfinite(value) && value > 0; }

absl::StatusOr<std::vector<TensorType>> InferRmsNorm(const OpCall& call) {
  SLUICE_ASSIGN_OR_RETURN(const DimBindings dims, MatchOperands(call));
  if (!IsFinitePositive(call.Float("eps"))) {
    return AttrError(call, "eps", "a finite number above 0");
  }
  return ResultTypes(call, dims);
}

absl::Status EvalRmsNorm(const EvalContext& context) {
  const TensorView& x = context.operands[kX];
  std::optional<RowReader> gains;  // a weight may lie at any address
  if (context.call.Has(kWeight)) gains.emplace(context.operands[kWeight]);
  const float* weight = gains.has_value() ? gains->Row(0) : nullptr;
  const double eps = context.call.Float("eps");
  const int64_t cols = x.cols();
  for (int64_t row = 0; row < x.rows(); ++row) {
    const float* in = x.f32() + row * cols;
    float* out = context.results[0].f32() + row * cols;
    double squares = 0;
    for (int64_t i = 0; i < cols; ++i) squares += static_cast<double>(in[i]) * in[i];
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(cols) + eps);
    for (int64_t i = 0; i < cols; ++i) {
      const double gain = weight != nullptr ? weight[i] : 1.0;
      out[i] = static_cast<float>(in[i] * scale * gain);
    }
  }
  return absl::OkStatus();
}

OpCost RmsNormCost(const CostContext& context) {
  const double flops_per_element = context.call.Has(kWeight) ? 4 : 3;  // square, sum, scale, gain
  return StreamingCost(context,
                       flops_per_element * static_cast<double>(context.results[0].elements()));
}

OpDef RmsNorm() {
  return {
      .name = "rms_norm",
      .family = "norm_rope",
      .doc =
          "Root mean square normalisation over the last dimension (Zhang and Sennrich 2019, "
          "arXiv:1910.07467): out[...,i] = weight[i] * x[...,i] / sqrt(mean_j x[...,j]^2 + eps). "
          "Without a weight the gain is 1.",
      .operands = {{"x", "f32[...,d]"}, {"weight", "f32[d]", /*optional=*/true}},
      .results = {{"out", "f32[...,d]"}},
      .attrs = {{.name = "eps",
                 .kind = AttrKind::kFloat,
                 .doc = "added to the mean square; above 0",
                 .default_value = std::nullopt,
                 .choices = {}}},
      .infer = InferRmsNorm,
      .eval = EvalRmsNorm,
      .cost = RmsNormCost,
      .expands_to = "",
  };
}

absl::Status CheckRopeAttrs(const OpCall& call, int64_t width) {
  const int64_t dims = call.Int("dims");
  if (dims < 2 || dims > width || dims % 2 != 0) {
    return AttrError(call, "dims", absl::StrCat("an even number in 2..", width, ", the d of x"));
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

absl::StatusOr<std::vector<TensorType>> InferRope(const OpCall& call) {
  SLUICE_ASSIGN_OR_RETURN(const DimBindings bindings, MatchOperands(call));
  SLUICE_ASSIGN_OR_RETURN(const int64_t width, ConstantDim(call, bindings, "d"));
  SLUICE_RETURN_IF_ERROR(CheckRopeAttrs(call, width));
  return ResultTypes(call, bindings);
}

// One pair's place in a head: element `first` and element `first + distance`.
struct PairLayout {
  int64_t step;
  int64_t distance;
};

PairLayout LayoutOf(const OpCall& rope) {
  if (rope.String("style") == "neox") return {.step = 1, .distance = rope.Int("dims") / 2};
  return {.step = 2, .distance = 1};
}

absl::Status EvalRope(const EvalContext& context) {
  const TensorView& x = context.operands[kX];
  const int64_t heads = x.dim(1), width = x.dim(2);
  std::optional<RowReader> reader;
  absl::Span<const float> freq_factors;
  if (context.call.Has(kFreqFactors)) {
    reader.emplace(context.operands[kFreqFactors]);
    freq_factors = {reader->Row(0), static_cast<size_t>(context.call.Int("dims") / 2)};
  }
  const absl::StatusOr<RopeFrequencies> frequencies =
      ComputeRopeFrequencies(RopeParamsOf(context.call), freq_factors);
  if (!frequencies.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("'rope': ", frequencies.status().message()));
  }
  const auto [step, distance] = LayoutOf(context.call);
  std::copy_n(x.f32(), x.elements(), context.results[0].f32());  // what is not rotated stays
  for (int64_t row = 0; row < x.rows(); ++row) {
    const int64_t token = row / heads;
    const double position = context.operands[kPositions].i32()[token];
    const float* in = x.f32() + row * width;
    float* out = context.results[0].f32() + row * width;
    for (size_t i = 0; i < frequencies->inverse.size(); ++i) {
      const double angle = position * frequencies->inverse[i];
      const double cosine = std::cos(angle) * frequencies->magnitude;
      const double sine = std::sin(angle) * frequencies->magnitude;
      const int64_t first = static_cast<int64_t>(i) * step, second = first + distance;
      out[first] = static_cast<float>(in[first] * cosine - in[second] * sine);
      out[second] = static_cast<float>(in[first] * sine + in[second] * cosine);
    }
  }
  return absl::OkStatus();
}

OpCost RopeCost(const CostContext& context) {
  const int64_t pairs = context.operands[kX].rows() * (context.call.Int("dims") / 2);
  // The angles, shared by all heads, are not counted.
  return StreamingCost(context, 6 * static_cast<double>(pairs));
}

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

OpDef Rope() {
  return {
      .name = "rope",
      .family = "norm_rope",
      .doc =
          "Rotary position embedding (Su et al. 2021, arXiv:2104.09864). Pair i of a head at "
          "position p, (a, b), becomes magnitude * (a cos(p w_i) - b sin(p w_i), a sin(p w_i) + "
          "b cos(p w_i)), where w_i = base^(-2i/dims) / freq_factors[i] and magnitude = "
          "attn_factor. Scaling linear (Chen et al. 2023, arXiv:2306.15595) divides w_i by "
          "factor; yarn (Peng et al. 2023, arXiv:2309.00071) does so for slow pairs only, with a "
          "ramp between beta_slow and beta_fast turns, and multiplies the magnitude by "
          "1 + 0.1 ln factor unless ext_factor is 0. Elements from dims on are copied. The "
          "arithmetic of w_i and magnitude stands in rope_frequencies.h.",
      .operands = {{"x", "f32[t,heads,d]"},
                   {"positions", "i32[t]"},
                   {"freq_factors", "f32[dims/2], each finite and above 0", /*optional=*/true}},
      .results = {{"out", "f32[t,heads,d]"}},
      .attrs = RopeAttrs(),
      .infer = InferRope,
      .eval = EvalRope,
      .cost = RopeCost,
      .expands_to = "",
  };
}

}  // namespace

absl::Status RegisterNormRopeOps(OpRegistry& registry) {
  for (OpDef (*op)() : {RmsNorm, Rope}) SLUICE_RETURN_IF_ERROR(registry.Register(op()));
  return absl::OkStatus();
}

}  // namespace sluice
