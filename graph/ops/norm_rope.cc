// Normalisation and rotary positions: rms_norm, layer_norm, rope, and what is fused around them.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/ops/kv_cache.h"
#include "graph/ops/norm_rope.h"
#include "graph/ops/ops.h"
#include "graph/ops/rope_frequencies.h"
#include "graph/ops/shape_check.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

OperandSpec FreqFactorsOperand() {
  return {.doc = "f32[dims/2], each finite and above 0", .optional = true, .positive = true};
}

// --- rms_norm -------------------------------------------------------------------------------

absl::Status CheckEps(const OpCall& call) {
  const double eps = call.Float("eps");
  if (std::isfinite(eps) && eps > 0) return absl::OkStatus();
  return AttrError(call, "eps", "a finite number above 0");
}

// Inference for rms_norm, layer_norm and add_rms_norm.
absl::StatusOr<std::vector<TensorType>> InferNorm(const OpCall& call) {
  SLUICE_ASSIGN_OR_RETURN(const DimBindings dims, MatchOperands(call));
  SLUICE_RETURN_IF_ERROR(CheckEps(call));
  return ResultTypes(call, dims);
}

absl::Status EvalRmsNorm(const EvalContext& context) {
  const auto [x, gain_row] = As<RmsNormCall>(context);
  std::optional<RowReader> gains;  // a weight may lie at any address
  if (gain_row.present()) gains.emplace(gain_row);
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

// Per element: square, sum, scale, gain.
double NormFlops(const TensorView& x, bool has_gain) {
  return (has_gain ? 4.0 : 3.0) * static_cast<double>(x.elements());
}

OpCost RmsNormCost(const CostContext& context) {
  const bool has_gain = As<RmsNormCall>(context.call).weight != nullptr;
  return StreamingCost(context, NormFlops(As<RmsNormCall>(context).x, has_gain));
}

AttrDef EpsAttr(std::optional<AttrValue> default_value,
                absl::string_view doc = "added to the mean square; above 0") {
  return {.name = "eps",
          .kind = AttrKind::kFloat,
          .doc = std::string(doc),
          .default_value = std::move(default_value),
          .choices = {}};
}

OpDef RmsNorm() {
  return {
      .name = "rms_norm",
      .family = "norm_rope",
      .doc =
          "Root mean square normalisation over the last dimension (Zhang and Sennrich 2019, "
          "arXiv:1910.07467): out[...,i] = weight[i] * x[...,i] / sqrt(mean_j x[...,j]^2 + eps). "
          "Without a weight the gain is 1.",
      .operands = Named(RmsNormCall<OperandSpec>{.x = {.doc = "f32[...,d]"},
                                                 .weight = {.doc = "f32[d]", .optional = true}}),
      .results = {{.name = "out", .doc = "f32[...,d]", .in_place = kOperand<RmsNormCall>.x}},
      .attrs = {EpsAttr(std::nullopt)},
      .infer = InferNorm,
      .eval = EvalRmsNorm,
      .cost = RmsNormCost,
      .expands_to = "",
  };
}

// --- layer_norm -----------------------------------------------------------------------------

absl::Status EvalLayerNorm(const EvalContext& context) {
  const auto call = As<LayerNormCall>(context);
  const TensorView& x = call.x;
  // An operand that is left out multiplies by 1 or adds 0. A weight may lie at any address.
  const auto row_or = [&](const TensorView& operand, double neutral) {
    std::vector<double> row(static_cast<size_t>(x.cols()), neutral);
    if (!operand.present()) return row;
    RowReader reader(operand);
    std::copy_n(reader.Row(0), x.cols(), row.begin());
    return row;
  };
  const std::vector<double> weight = row_or(call.weight, 1), bias = row_or(call.bias, 0);
  const double eps = context.call.Float("eps");
  const auto cols = static_cast<size_t>(x.cols());
  for (int64_t row = 0; row < x.rows(); ++row) {
    const float* in = x.f32() + row * x.cols();
    float* out = context.results[0].f32() + row * x.cols();
    const double mean = std::accumulate(in, in + cols, 0.0) / static_cast<double>(cols);
    double squares = 0;
    for (size_t i = 0; i < cols; ++i) squares += (in[i] - mean) * (in[i] - mean);
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(cols) + eps);
    for (size_t i = 0; i < cols; ++i) {
      out[i] = static_cast<float>((in[i] - mean) * scale * weight[i] + bias[i]);
    }
  }
  return absl::OkStatus();
}

// Per element: sum, subtract, square, sum, scale, and gain and bias where there are any.
OpCost LayerNormCost(const CostContext& context) {
  const auto given = As<LayerNormCall>(context.call);
  const int flops = 5 + (given.weight != nullptr ? 1 : 0) + (given.bias != nullptr ? 1 : 0);
  const TensorView& x = As<LayerNormCall>(context).x;
  return StreamingCost(context, flops * static_cast<double>(x.elements()));
}

OpDef LayerNorm() {
  return {
      .name = "layer_norm",
      .family = "norm_rope",
      .doc =
          "Layer normalisation over the last dimension (Ba et al. 2016, arXiv:1607.06450): "
          "out[...,i] = weight[i] * (x[...,i] - m) / sqrt(v + eps) + bias[i], where m is the mean "
          "and v the variance, mean_j (x[...,j] - m)^2, of the row. Without a weight the gain is "
          "1, without a bias nothing is added.",
      .operands = Named(LayerNormCall<OperandSpec>{.x = {.doc = "f32[...,d]"},
                                                   .weight = {.doc = "f32[d]", .optional = true},
                                                   .bias = {.doc = "f32[d]", .optional = true}}),
      .results = {{.name = "out", .doc = "f32[...,d]", .in_place = kOperand<LayerNormCall>.x}},
      .attrs = {EpsAttr(std::nullopt, "added to the variance; above 0")},
      .infer = InferNorm,
      .eval = EvalLayerNorm,
      .cost = LayerNormCost,
      .expands_to = "",
  };
}

// --- add_rms_norm ---------------------------------------------------------------------------

OpCost AddRmsNormCost(const CostContext& context) {
  const TensorView& sum = context.results[0];
  const bool has_gain = As<AddRmsNormCall>(context.call).weight != nullptr;
  return StreamingCost(context, NormFlops(sum, has_gain) + static_cast<double>(sum.elements()));
}

OpDef AddRmsNorm() {
  return {
      .name = "add_rms_norm",
      .family = "norm_rope",
      .doc =
          "The end of one block and the beginning of the next: sum = a + b, which is the residual "
          "from here on, and out = rms_norm(sum).",
      .operands = Named(AddRmsNormCall<OperandSpec>{.a = {.doc = "f32[...,d]"},
                                                    .b = {.doc = "f32[...,d]"},
                                                    .weight = {.doc = "f32[d]", .optional = true}}),
      .results = {{.name = "sum", .doc = "f32[...,d]", .in_place = kOperand<AddRmsNormCall>.a},
                  {.name = "out", .doc = "f32[...,d]", .in_place = kOperand<AddRmsNormCall>.b}},
      .attrs = {EpsAttr(std::nullopt)},
      .infer = InferNorm,
      .cost = AddRmsNormCost,
      .expands_to =
          "%sum = add(%a, %b)\n"
          "%out = rms_norm(%sum, %weight?) {eps=$eps}",
  };
}

// --- rope -----------------------------------------------------------------------------------

absl::StatusOr<std::vector<TensorType>> InferRope(const OpCall& call) {
  SLUICE_ASSIGN_OR_RETURN(const DimBindings bindings, MatchOperands(call));
  SLUICE_ASSIGN_OR_RETURN(const int64_t width, ConstantDim(call, bindings, "d"));
  SLUICE_RETURN_IF_ERROR(CheckRopeAttrs(call, width));
  return ResultTypes(call, bindings);
}

// Pair i of a head is its elements i * step and i * step + distance.
struct PairLayout {
  int64_t step;
  int64_t distance;
};

PairLayout LayoutOf(const OpCall& rope) {
  if (rope.String("style") == "neox") return {.step = 1, .distance = rope.Int("dims") / 2};
  return {.step = 2, .distance = 1};
}

absl::Status EvalRope(const EvalContext& context) {
  const auto call = As<RopeCall>(context);
  const TensorView& x = call.x;
  const int64_t heads = x.dim(1), width = x.dim(2);
  std::optional<RowReader> reader;
  absl::Span<const float> freq_factors;
  if (call.freq_factors.present()) {
    reader.emplace(call.freq_factors);
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
    const double position = call.positions.i32()[token];
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

// Six operations per pair. The angles, shared by all heads, are not counted.
double RopeFlops(const OpCall& call, const TensorView& x) {
  return 6.0 * static_cast<double>(x.rows() * (call.Int("dims") / 2));
}

OpCost RopeCost(const CostContext& context) {
  return StreamingCost(context, RopeFlops(context.call, As<RopeCall>(context).x));
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
      .operands = Named(RopeCall<OperandSpec>{.x = {.doc = "f32[t,heads,d]"},
                                              .positions = {.doc = "i32[t]"},
                                              .freq_factors = FreqFactorsOperand()}),
      .results = {{.name = "out", .doc = "f32[t,heads,d]", .in_place = kOperand<RopeCall>.x}},
      .attrs = RopeAttrs(),
      .infer = InferRope,
      .eval = EvalRope,
      .cost = RopeCost,
      .expands_to = "",
  };
}

// --- qk_norm_rope, qk_norm_rope_append -------------------------------------------------------

// "eps=$eps, style=$style, ...": attributes handed on to the ops of an expansion.
std::string Captures(const std::vector<AttrDef>& attrs) {
  return absl::StrJoin(attrs, ", ", [](std::string* out, const AttrDef& attr) {
    absl::StrAppend(out, attr.name, "=$", attr.name);
  });
}

// The epsilon of both head norms, unused where there are none, and the attributes of rope.
std::vector<AttrDef> NormRopeAttrs() {
  std::vector<AttrDef> attrs = {EpsAttr(1e-6)};
  for (AttrDef& attr : RopeAttrs()) attrs.push_back(std::move(attr));
  return attrs;
}

absl::Status CheckNormRopeAttrs(const OpCall& call, const DimBindings& dims) {
  SLUICE_RETURN_IF_ERROR(CheckEps(call));
  SLUICE_ASSIGN_OR_RETURN(const int64_t width, ConstantDim(call, dims, "D"));
  return CheckRopeAttrs(call, width);
}

absl::StatusOr<std::vector<TensorType>> InferQkNormRope(const OpCall& call) {
  SLUICE_ASSIGN_OR_RETURN(const DimBindings dims, MatchOperands(call));
  SLUICE_RETURN_IF_ERROR(CheckNormRopeAttrs(call, dims));
  return ResultTypes(call, dims);
}

// Rotation of the heads `x`, and their norm if its `gain` is there.
double NormRopeFlops(const OpCall& call, const TensorView& x, const TensorType* gain) {
  const double norm = gain != nullptr ? NormFlops(x, /*has_gain=*/true) : 0;
  return norm + RopeFlops(call, x);
}

OpCost QkNormRopeCost(const CostContext& context) {
  const auto in = As<QkNormRopeCall>(context);
  const auto given = As<QkNormRopeCall>(context.call);
  return StreamingCost(context, NormRopeFlops(context.call, in.q, given.q_norm) +
                                    NormRopeFlops(context.call, in.k, given.k_norm));
}

OpDef QkNormRope() {
  const std::string rope = Captures(RopeAttrs());
  return {
      .name = "qk_norm_rope",
      .family = "norm_rope",
      .doc =
          "The rope of q and k at the same positions, after an rms_norm of each head where its "
          "weight is given (query-key normalisation: Dehghani et al. 2023, arXiv:2302.05442).",
      .operands = Named(QkNormRopeCall<OperandSpec>{.q = {.doc = "f32[t,H,D]"},
                                                    .k = {.doc = "f32[t,Hkv,D]"},
                                                    .positions = {.doc = "i32[t]"},
                                                    .q_norm = {.doc = "f32[D]", .optional = true},
                                                    .k_norm = {.doc = "f32[D]", .optional = true},
                                                    .freq_factors = FreqFactorsOperand()}),
      .results = {{.name = "q_out", .doc = "f32[t,H,D]", .in_place = kOperand<QkNormRopeCall>.q},
                  {.name = "k_out", .doc = "f32[t,Hkv,D]", .in_place = kOperand<QkNormRopeCall>.k}},
      .attrs = NormRopeAttrs(),
      .infer = InferQkNormRope,
      .cost = QkNormRopeCost,
      .expands_to =
          absl::StrCat("%q_heads = rms_norm(%q, %q_norm) {eps=$eps} if %q_norm\n"
                       "%k_heads = rms_norm(%k, %k_norm) {eps=$eps} if %k_norm\n"
                       "%q_out = rope(%q_heads, %positions, %freq_factors?) {",
                       rope, "}\n%k_out = rope(%k_heads, %positions, %freq_factors?) {", rope, "}"),
  };
}

absl::StatusOr<std::vector<TensorType>> InferQkNormRopeAppend(const OpCall& call) {
  SLUICE_ASSIGN_OR_RETURN(const DimBindings dims, MatchOperands(call));
  SLUICE_RETURN_IF_ERROR(CheckNormRopeAttrs(call, dims));
  SLUICE_RETURN_IF_ERROR(CheckCacheDims(call, dims));
  return ResultTypes(call, dims);
}

// Of the caches, the rows of this step's tokens are written and nothing is read.
OpCost QkNormRopeAppendCost(const CostContext& context) {
  const auto in = As<QkNormRopeAppendCall>(context);
  const auto given = As<QkNormRopeAppendCall>(context.call);
  OpCost cost = StreamingCost(context, NormRopeFlops(context.call, in.q, given.q_norm) +
                                           NormRopeFlops(context.call, in.k, given.k_norm));
  for (const TensorView* cache : {&in.k_cache, &in.v_cache}) {
    cost.bytes_read -= static_cast<double>(cache->bytes());
    cost.bytes_written -= static_cast<double>(cache->bytes() - in.k.rows() * cache->row_bytes());
  }
  return cost;
}

OpDef QkNormRopeAppend() {
  const std::string attrs = Captures(NormRopeAttrs());
  constexpr auto in = kOperand<QkNormRopeAppendCall>;
  return {
      .name = "qk_norm_rope_append",
      .family = "norm_rope",
      .doc =
          "All that happens between the projections and attention: qk_norm_rope, then kv_append "
          "of the rotated keys and of the values. A slot outside the cache is an error, and then "
          "nothing is written to the cache.",
      .operands =
          Named(QkNormRopeAppendCall<OperandSpec>{.k_cache = {.doc = kKCacheDoc},
                                                  .v_cache = {.doc = kVCacheDoc},
                                                  .q = {.doc = "f32[t,H,D]"},
                                                  .k = {.doc = "f32[t,Hkv,D]"},
                                                  .v = {.doc = "f32[t,Hkv,Dv]"},
                                                  .positions = {.doc = "i32[t]"},
                                                  .slots = SlotsOperand(),
                                                  .q_norm = {.doc = "f32[D]", .optional = true},
                                                  .k_norm = {.doc = "f32[D]", .optional = true},
                                                  .freq_factors = FreqFactorsOperand()}),
      .results = {{.name = "q_out", .doc = "f32[t,H,D]", .in_place = in.q},
                  {.name = "k_cache_out", .doc = kKCacheDoc, .aliases = in.k_cache},
                  {.name = "v_cache_out", .doc = kVCacheDoc, .aliases = in.v_cache}},
      .attrs = NormRopeAttrs(),
      .infer = InferQkNormRopeAppend,
      .cost = QkNormRopeAppendCost,
      .expands_to = absl::StrCat(
          "%q_out, %k_rows = qk_norm_rope(%q, %k, %positions, %q_norm?, %k_norm?, %freq_factors?) "
          "{",
          attrs,
          "}\n"
          "%k_cache_out, %v_cache_out = kv_append(%k_cache, %v_cache, %k_rows, %v, %slots)"),
  };
}

}  // namespace

absl::Status RegisterNormRopeOps(OpRegistry& registry) {
  for (OpDef (*op)() : {RmsNorm, LayerNorm, AddRmsNorm, Rope, QkNormRope, QkNormRopeAppend}) {
    SLUICE_RETURN_IF_ERROR(registry.Register(op()));
  }
  return absl::OkStatus();
}

}  // namespace sluice
