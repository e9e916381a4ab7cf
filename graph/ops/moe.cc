// Mixture of experts: routing, grouping of tokens by expert, products with expert weights and the
// weighted sum of what they give.
#include <algorithm>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <limits>
#include <numeric>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "graph/ops/moe.h"
#include "graph/ops/ops.h"
#include "graph/ops/shape_check.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// --- topk_softmax ---------------------------------------------------------------------------

// The sum of the chosen weights is not taken for less than this, the smallest normal binary16.
constexpr double kMinWeightSum = 0x1p-14;

absl::StatusOr<std::vector<TensorType>> InferTopk(const OpCall& call) {
  SLUICE_ASSIGN_OR_RETURN(const DimBindings dims, MatchOperands(call));
  SLUICE_ASSIGN_OR_RETURN(const int64_t experts, ConstantDim(call, dims, "E"));
  const int64_t k = call.Int("k");
  if (k < 1 || k > experts) return AttrError(call, "k", absl::StrCat("1..", experts));
  if (!std::isfinite(call.Float("scale"))) return AttrError(call, "scale", "a finite number");
  return ResultTypes(call, dims);
}

// Refuses logits without a score: NaN, +inf, or under softmax a row without any logit above -inf.
absl::Status CheckLogits(const EvalContext& context, int64_t token) {
  const TensorView& logits = As<TopkSoftmaxCall>(context).logits;
  const float* row = logits.f32() + token * logits.cols();
  float max = -kInfinity;
  for (int64_t e = 0; e < logits.cols(); ++e) {
    if (!(row[e] < kInfinity)) {
      return absl::InvalidArgumentError(absl::StrCat("'topk_softmax': logits[", token, ",", e,
                                                     "] is ", row[e], ", expected less than inf"));
    }
    max = std::max(max, row[e]);
  }
  if (max == -kInfinity && context.call.String("gating") == "softmax") {
    return absl::InvalidArgumentError(
        absl::StrCat("'topk_softmax': all of logits[", token, "] are -inf"));
  }
  return absl::OkStatus();
}

void SigmoidRow(absl::Span<const float> logits, float* out) {
  std::transform(logits.begin(), logits.end(), out,
                 [](double logit) { return static_cast<float>(1 / (1 + std::exp(-logit))); });
}

// Indices of the k largest, in descending order; of equal ones the smaller index first.
std::vector<int32_t> TopK(const std::vector<float>& values, int64_t k) {
  std::vector<int32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int32_t a, int32_t b) {
    const float va = values[static_cast<size_t>(a)];
    const float vb = values[static_cast<size_t>(b)];
    return va != vb ? va > vb : a < b;
  });
  order.resize(static_cast<size_t>(k));
  return order;
}

// Writes the chosen experts' weights: their scores, divided by the sum if asked for, and scaled.
void WeighChosen(const OpCall& call, const std::vector<float>& scores,
                 const std::vector<int32_t>& chosen, float* weights) {
  double sum = 0;
  for (int32_t e : chosen) sum += scores[static_cast<size_t>(e)];
  double factor = call.Float("scale");
  if (call.Bool("renorm")) factor /= std::max(sum, kMinWeightSum);
  for (size_t j = 0; j < chosen.size(); ++j) {
    weights[j] = static_cast<float>(scores[static_cast<size_t>(chosen[j])] * factor);
  }
}

absl::Status EvalTopkSoftmax(const EvalContext& context) {
  const OpCall& call = context.call;
  const auto [logits, choice_bias] = As<TopkSoftmaxCall>(context);
  const int64_t k = call.Int("k");
  std::vector<float> scores(static_cast<size_t>(logits.cols()));
  std::vector<float> bias(scores.size(), 0.0F);
  if (choice_bias.present()) {
    std::copy_n(RowReader(choice_bias).Row(0), bias.size(), bias.begin());
  }
  for (size_t e = 0; e < bias.size(); ++e) {
    if (std::isnan(bias[e])) {
      return absl::InvalidArgumentError(absl::StrCat("'topk_softmax': bias[", e, "] is nan"));
    }
  }
  std::vector<float> biased(scores.size());
  // Scores are rounded to float32 before they are compared: equal ones are ties.
  const auto gate = call.String("gating") == "softmax" ? SoftmaxRow : SigmoidRow;
  for (int64_t token = 0; token < logits.rows(); ++token) {
    SLUICE_RETURN_IF_ERROR(CheckLogits(context, token));
    gate({logits.f32() + token * logits.cols(), scores.size()}, scores.data());
    std::transform(scores.begin(), scores.end(), bias.begin(), biased.begin(), std::plus<>());
    const std::vector<int32_t> chosen = TopK(biased, k);
    WeighChosen(call, scores, chosen, context.results[0].f32() + token * k);
    std::copy(chosen.begin(), chosen.end(), context.results[1].i32() + token * k);
  }
  return absl::OkStatus();
}

// Per logit: subtract, exp, sum, divide and one comparison.
constexpr double kChoiceFlops = 5;

OpCost TopkSoftmaxCost(const CostContext& context) {
  const TensorView& logits = As<TopkSoftmaxCall>(context).logits;
  return StreamingCost(context, kChoiceFlops * static_cast<double>(logits.elements()));
}

std::vector<AttrDef> TopkAttrs() {
  return {{"k", AttrKind::kInt, "experts per token", std::nullopt, {}},
          {"renorm", AttrKind::kBool, "weights of a token sum to 1", false, {}},
          {"gating",
           AttrKind::kString,
           "function from logits to scores",
           std::string("softmax"),
           {"softmax", "sigmoid"}},
          {"scale", AttrKind::kFloat, "factor of all weights", 1.0, {}}};
}

OpDef TopkSoftmax() {
  return {
      .name = "topk_softmax",
      .family = "moe",
      .doc =
          "Router: score = softmax (or sigmoid) of each token's logits in float32; the k experts "
          "with the largest score + bias in descending order, ties to the smaller id; their "
          "weights are the scores without the bias, divided by max(sum, 2^-14) if renorm, times "
          "scale. Softmax before the choice: GShard, arXiv:2006.16668, algorithm 1; sigmoid with "
          "a bias for the choice only: DeepSeek-V3, arXiv:2412.19437, section 2.1.2. Errors: a NaN "
          "or +inf logit, under softmax a row of -inf, a NaN bias.",
      .operands = Named(TopkSoftmaxCall<OperandSpec>{
          .logits = {.doc = "f32[t,E]"},
          .bias = {.doc = "f32[E], for the choice only", .optional = true}}),
      .results = {{"weights", "f32[t,k]"}, {"ids", "i32[t,k]"}},
      .attrs = TopkAttrs(),
      .infer = InferTopk,
      .eval = EvalTopkSoftmax,
      .cost = TopkSoftmaxCost,
      .expands_to = "",
  };
}

// --- router_topk ----------------------------------------------------------------------------

OpCost RouterTopkCost(const CostContext& context) {
  const auto in = As<RouterTopkCall>(context);
  const double logits = static_cast<double>(in.x.rows()) * static_cast<double>(in.weight.rows());
  const bool has_bias = As<RouterTopkCall>(context.call).logit_bias != nullptr;
  return StreamingCost(context,
                       logits * (2.0 * static_cast<double>(in.weight.cols()) + kChoiceFlops) +
                           (has_bias ? logits : 0));
}

OpDef RouterTopk() {
  return {
      .name = "router_topk",
      .family = "moe",
      .doc =
          "The router as a whole: logits of all experts for each row of x, and topk_softmax of "
          "them.",
      .operands = Named(RouterTopkCall<OperandSpec>{
          .x = {.doc = "f32[t,in]"},
          .weight = {.doc = "any[E,in]", .repackable = true},
          .logit_bias = {.doc = "f32[E]", .optional = true},
          .bias = {.doc = "f32[E], for the choice only", .optional = true}}),
      .results = {{"weights", "f32[t,k]"}, {"ids", "i32[t,k]"}},
      .attrs = TopkAttrs(),
      .infer = InferTopk,
      .cost = RouterTopkCost,
      .expands_to =
          "%logits = matmul(%x, %weight, %logit_bias?)\n"
          "%weights, %ids = topk_softmax(%logits, %bias?) "
          "{k=$k, renorm=$renorm, gating=$gating, scale=$scale}",
  };
}

// --- moe_gather -----------------------------------------------------------------------------

absl::StatusOr<std::vector<TensorType>> InferMoeGather(const OpCall& call) {
  const int64_t experts = call.Int("experts");
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max() - 1;
  if (experts < 1 || experts > kMax) {
    return AttrError(call, "experts", absl::StrCat("1..", kMax));
  }
  return InferFromDocs(call);
}

absl::Status EvalMoeGather(const EvalContext& context) {
  const auto [x, ids] = As<MoeGatherCall>(context);
  const int64_t experts = context.call.Int("experts");
  SLUICE_RETURN_IF_ERROR(CheckIndices(context, kOperand<MoeGatherCall>.ids));
  const int64_t slots = ids.elements();

  int32_t* offsets = context.results[2].i32();
  std::fill_n(offsets, experts + 1, 0);
  for (int64_t i = 0; i < slots; ++i) ++offsets[ids.i32()[i] + 1];
  std::partial_sum(offsets, offsets + experts + 1, offsets);

  float* rows = context.results[0].f32();
  int32_t* row_of = context.results[1].i32();
  std::vector<int32_t> next(offsets, offsets + experts);
  for (int64_t i = 0; i < slots; ++i) {
    const int32_t row = next[static_cast<size_t>(ids.i32()[i])]++;
    row_of[i] = row;
    std::copy_n(x.f32() + i / ids.cols() * x.cols(), x.cols(), rows + row * x.cols());
  }
  return absl::OkStatus();
}

OpDef MoeGather() {
  return {
      .name = "moe_gather",
      .family = "moe",
      .doc =
          "Groups tokens by expert: one row for each (token, slot), a copy of the token's x. "
          "Rows are in ascending order of expert, within an expert by token, then slot. "
          "rows[row_of[i,j],:] = x[i,:]; the rows of expert e are offsets[e]..offsets[e+1]-1. "
          "An id outside 0..experts-1 is an error.",
      .operands = Named(MoeGatherCall<OperandSpec>{
          .x = {.doc = "f32[t,d]"},
          .ids = {.doc = "i32[t,k], experts of each token", .below = "experts"}}),
      .results = {{"rows", "f32[t*k,d]"}, {"row_of", "i32[t,k]"}, {"offsets", "i32[experts+1]"}},
      .attrs = {{"experts", AttrKind::kInt, "number of experts", std::nullopt, {}}},
      .infer = InferMoeGather,
      .eval = EvalMoeGather,
      .expands_to = "",
  };
}

// --- Products with the weights of experts ----------------------------------------------------

// Docs of operands that several of these ops have.
constexpr char kGroupedRowsDoc[] = "f32[r,in], grouped by expert as by moe_gather";
constexpr char kIndexedRowsDoc[] = "f32[n,in], n = t: a row per token; n = t*k: a row per slot";

OperandSpec OffsetsOperand() {
  return {.doc = "i32[E+1]", .below = "r", .or_equal = true, .order = IndexOrder::kAscending};
}

OperandSpec TilesOperand() {
  return {.doc = "i32[r,3], of the offsets by expert_tiles, for kernels that need it",
          .optional = true,
          .derived = true};
}

OperandSpec ExpertIdsOperand() { return {.doc = "i32[t,k], experts of each token", .below = "E"}; }

// Bytes of a tensor [E,...] that rows of the step can use: no more experts than there are rows.
double UsedExpertBytes(const TensorView& weight, int64_t rows) {
  const int64_t experts = weight.dim(0);
  return static_cast<double>(weight.bytes() / experts * std::min(experts, rows));
}

// Multiply-adds of each of `rows` with one expert's matrix, counted as two operations each.
double ExpertFlops(int64_t rows, const TensorView& weight) {
  return 2.0 * static_cast<double>(rows) * static_cast<double>(weight.dim(1)) *
         static_cast<double>(weight.dim(2));
}

// StreamingCost, except that the operands [E,...] count only with as many experts as `slots`, the
// pairs of a token and one of its choices, can use.
OpCost ExpertCost(const CostContext& context,
                  std::initializer_list<const TensorView*> expert_operands, int64_t slots,
                  double flops) {
  OpCost cost = StreamingCost(context, flops);
  for (const TensorView* view : expert_operands) {
    if (view == nullptr) continue;
    cost.bytes_read += UsedExpertBytes(*view, slots) - static_cast<double>(view->bytes());
  }
  return cost;
}

// Cost of expert_matmul and indexed_expert_matmul.
template <template <typename> class Call>
OpCost ExpertMatmulCost(const CostContext& context) {
  const auto in = As<Call>(context);
  const bool has_bias = As<Call>(context.call).bias != nullptr;
  const TensorView& out = context.results[0];
  const double bias_flops = has_bias ? static_cast<double>(out.elements()) : 0;
  return ExpertCost(context, {&in.weight, has_bias ? &in.bias : nullptr}, out.rows(),
                    ExpertFlops(out.rows(), in.weight) + bias_flops);
}

// Cost of expert_glu and indexed_expert_glu.
template <template <typename> class Call>
OpCost ExpertGluCost(const CostContext& context) {
  const auto in = As<Call>(context);
  const TensorView& out = context.results[0];
  return ExpertCost(context, {&in.gate, &in.up}, out.rows(),
                    ExpertFlops(out.rows(), in.gate) + ExpertFlops(out.rows(), in.up) +
                        (kActivationFlops + 1) * static_cast<double>(out.elements()));
}

std::vector<AttrDef> ExpertGluAttrs() {
  return {
      {"act", AttrKind::kString, "op that is applied to the gate", std::nullopt, {"silu", "gelu"}}};
}

// --- expert_matmul, expert_glu ---------------------------------------------------------------

absl::Status CheckOffsets(const EvalContext& context) {
  const auto in = As<ExpertMatmulCall>(context);
  const TensorView& offsets = in.offsets;
  const int64_t rows = in.rows.rows();
  const int32_t* begin = offsets.i32();
  const int32_t* end = begin + offsets.elements();
  const int32_t* sorted_end = std::is_sorted_until(begin, end);
  if (*begin == 0 && end[-1] == rows && sorted_end == end) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat(
      "'expert_matmul': offsets go from ", *begin, " to ", end[-1],
      sorted_end == end ? "" : absl::StrCat(" and descend at index ", sorted_end - begin),
      ", expected to ascend from 0 to ", rows, ", the number of rows"));
}

absl::Status EvalExpertMatmul(const EvalContext& context) {
  SLUICE_RETURN_IF_ERROR(CheckOffsets(context));
  const auto in = As<ExpertMatmulCall>(context);
  const TensorView &rows = in.rows, &weight = in.weight;
  const int32_t* offsets = in.offsets.i32();
  const int64_t out = weight.dim(1);
  RowReader weight_rows(weight);
  std::optional<RowReader> bias;
  if (in.bias.present()) bias.emplace(in.bias);
  for (int64_t e = 0; e < weight.dim(0); ++e) {
    if (offsets[e] == offsets[e + 1]) continue;
    MultiplyRows({.x = rows.f32() + offsets[e] * rows.cols(),
                  .rows = offsets[e + 1] - offsets[e],
                  .first_row = e * out,
                  .out = out,
                  .bias = bias.has_value() ? bias->Row(e) : nullptr,
                  .y = context.results[0].f32() + offsets[e] * out},
                 weight_rows);
  }
  return absl::OkStatus();
}

OpDef ExpertMatmul() {
  return {
      .name = "expert_matmul",
      .family = "moe",
      .doc =
          "Product of grouped rows with their experts' weights: "
          "out[i,o] = bias[e,o] + sum_j rows[i,j] * weight[e,o,j] for the expert e with "
          "offsets[e] <= i < offsets[e+1]. Only weights of experts that have rows are read. "
          "Offsets that do not ascend from 0 to the number of rows are an error.",
      .operands = Named(
          ExpertMatmulCall<OperandSpec>{.rows = {.doc = kGroupedRowsDoc},
                                        .weight = {.doc = "any[E,out,in]", .repackable = true},
                                        .offsets = OffsetsOperand(),
                                        .bias = {.doc = "f32[E,out]", .optional = true},
                                        .tiles = TilesOperand()}),
      .results = {{"out", "f32[r,out]"}},
      .attrs = {},
      .infer = InferFromDocs,
      .eval = EvalExpertMatmul,
      .cost = ExpertMatmulCost<ExpertMatmulCall>,
      .expands_to = "",
  };
}

OpDef ExpertGlu() {
  return {
      .name = "expert_glu",
      .family = "moe",
      .doc =
          "The glu of each row's expert: out = act(gate_e rows) * (up_e rows), where gelu is "
          "the tanh form. Gate and up may differ in format.",
      .operands =
          Named(ExpertGluCall<OperandSpec>{.rows = {.doc = kGroupedRowsDoc},
                                           .gate = {.doc = "any[E,ff,in]", .repackable = true},
                                           .up = {.doc = "any[E,ff,in]", .repackable = true},
                                           .offsets = OffsetsOperand(),
                                           .tiles = TilesOperand()}),
      .results = {{"out", "f32[r,ff]"}},
      .attrs = ExpertGluAttrs(),
      .infer = InferFromDocs,
      .cost = ExpertGluCost<ExpertGluCall>,
      .expands_to =
          "%g = expert_matmul(%rows, %gate, %offsets, _, %tiles?)\n"
          "%u = expert_matmul(%rows, %up, %offsets, _, %tiles?)\n"
          "%s = $act(%g)\n"
          "%out = mul(%s, %u)",
  };
}

// --- indexed_expert_matmul, indexed_expert_glu -----------------------------------------------

template <template <typename> class Call>
absl::StatusOr<std::vector<TensorType>> InferIndexedExperts(const OpCall& call) {
  SLUICE_ASSIGN_OR_RETURN(const DimBindings dims, MatchOperands(call));
  SLUICE_RETURN_IF_ERROR(ConstantDim(call, dims, "E").status());
  SLUICE_ASSIGN_OR_RETURN(std::vector<TensorType> types, ResultTypes(call, dims));
  const Dim& tokens = dims["t"];
  SLUICE_ASSIGN_OR_RETURN(const Dim slots, ElementCount({tokens, dims["k"]}));
  if (dims["n"] != tokens && dims["n"] != slots) {
    return OperandError(call, kOperand<Call>.x,
                        absl::StrCat("f32[n,in] where n=", tokens.ToString(),
                                     " or n=", slots.ToString(), " (t or t*k of ids)"));
  }
  return types;
}

absl::Status EvalIndexedExpertMatmul(const EvalContext& context) {
  const auto in = As<IndexedExpertMatmulCall>(context);
  const TensorView &x = in.x, &weight = in.weight, &ids = in.ids;
  SLUICE_RETURN_IF_ERROR(CheckIndices(context, kOperand<IndexedExpertMatmulCall>.ids));
  const int64_t out = weight.dim(1);
  const int64_t slots_per_row = x.rows() == ids.rows() ? ids.cols() : 1;
  RowReader weight_rows(weight);
  std::optional<RowReader> bias;
  if (in.bias.present()) bias.emplace(in.bias);
  for (int64_t slot = 0; slot < ids.elements(); ++slot) {
    const int64_t expert = ids.i32()[slot];
    MultiplyRows({.x = x.f32() + slot / slots_per_row * x.cols(),
                  .rows = 1,
                  .first_row = expert * out,
                  .out = out,
                  .bias = bias.has_value() ? bias->Row(expert) : nullptr,
                  .y = context.results[0].f32() + slot * out},
                 weight_rows);
  }
  return absl::OkStatus();
}

OpDef IndexedExpertMatmul() {
  return {
      .name = "indexed_expert_matmul",
      .family = "moe",
      .doc =
          "expert_matmul without grouping, for few tokens: out[i*k+j,o] = bias[e,o] + sum_l "
          "x[r,l] * weight[e,o,l] for e = ids[i,j] and r = i, or r = i*k+j where x has a row for "
          "each slot. Only weights of chosen experts are read. An id outside 0..E-1 is an error.",
      .operands = Named(IndexedExpertMatmulCall<OperandSpec>{
          .x = {.doc = kIndexedRowsDoc},
          .weight = {.doc = "any[E,out,in]", .repackable = true},
          .ids = ExpertIdsOperand(),
          .bias = {.doc = "f32[E,out]", .optional = true}}),
      .results = {{"out", "f32[t*k,out]"}},
      .attrs = {},
      .infer = InferIndexedExperts<IndexedExpertMatmulCall>,
      .eval = EvalIndexedExpertMatmul,
      .cost = ExpertMatmulCost<IndexedExpertMatmulCall>,
      .expands_to = "",
  };
}

OpDef IndexedExpertGlu() {
  return {
      .name = "indexed_expert_glu",
      .family = "moe",
      .doc =
          "expert_glu without grouping, for few tokens: row i*k+j of the result is the glu of "
          "expert ids[i,j]. Gate and up may differ in format.",
      .operands = Named(
          IndexedExpertGluCall<OperandSpec>{.x = {.doc = kIndexedRowsDoc},
                                            .gate = {.doc = "any[E,ff,in]", .repackable = true},
                                            .up = {.doc = "any[E,ff,in]", .repackable = true},
                                            .ids = ExpertIdsOperand()}),
      .results = {{"out", "f32[t*k,ff]"}},
      .attrs = ExpertGluAttrs(),
      .infer = InferIndexedExperts<IndexedExpertGluCall>,
      .cost = ExpertGluCost<IndexedExpertGluCall>,
      .expands_to =
          "%g = indexed_expert_matmul(%x, %gate, %ids)\n"
          "%u = indexed_expert_matmul(%x, %up, %ids)\n"
          "%s = $act(%g)\n"
          "%out = mul(%s, %u)",
  };
}

// --- scaled_add -----------------------------------------------------------------------------

absl::Status EvalScaledAdd(const EvalContext& context) {
  const auto in = As<ScaledAddCall>(context);
  const TensorView &rows = in.rows, &weights = in.weights;
  const bool has_row_of = in.row_of.present();
  if (has_row_of) SLUICE_RETURN_IF_ERROR(CheckIndices(context, kOperand<ScaledAddCall>.row_of));
  const float* residual = in.residual.f32();
  const int64_t d = rows.cols();
  const int64_t k = weights.cols();
  float* out = context.results[0].f32();
  for (int64_t i = 0; i < weights.rows(); ++i) {
    for (int64_t c = 0; c < d; ++c) {
      double sum = residual == nullptr ? 0.0 : residual[i * d + c];
      for (int64_t j = i * k; j < (i + 1) * k; ++j) {
        const int64_t row = has_row_of ? in.row_of.i32()[j] : j;
        sum += static_cast<double>(weights.f32()[j]) * rows.f32()[row * d + c];
      }
      out[i * d + c] = static_cast<float>(sum);
    }
  }
  return absl::OkStatus();
}

OpCost ScaledAddCost(const CostContext& context) {
  const TensorView& rows = As<ScaledAddCall>(context).rows;
  return StreamingCost(context, 2.0 * static_cast<double>(rows.elements()));
}

OpDef ScaledAdd() {
  return {
      .name = "scaled_add",
      .family = "moe",
      .doc =
          "Weighted sum of what a token's experts gave, back in token order: "
          "out[i,:] = residual[i,:] + sum_j weights[i,j] * rows[row_of[i,j],:]. Without row_of the "
          "rows are in order of token and slot, row_of[i,j] = i*k + j. A row number outside rows "
          "is an error.",
      .operands = Named(ScaledAddCall<OperandSpec>{
          .rows = {.doc = "f32[t*k,d]"},
          .weights = {.doc = "f32[t,k]"},
          .row_of = {.doc = "i32[t,k], as of moe_gather", .optional = true, .below = "t*k"},
          .residual = {.doc = "f32[t,d]", .optional = true}}),
      .results = {{.name = "out", .doc = "f32[t,d]", .in_place = kOperand<ScaledAddCall>.residual}},
      .attrs = {},
      .infer = InferFromDocs,
      .eval = EvalScaledAdd,
      .cost = ScaledAddCost,
      .expands_to = "",
  };
}

// --- indexed_expert_sum ---------------------------------------------------------------------

OpCost IndexedExpertSumCost(const CostContext& context) {
  const auto in = As<IndexedExpertSumCall>(context);
  const bool has_bias = As<IndexedExpertSumCall>(context.call).bias != nullptr;
  const int64_t slots = in.ids.elements();
  // For each output of a slot: scale, add, and add the bias.
  const double combine_flops = (has_bias ? 3 : 2) * static_cast<double>(slots);
  return ExpertCost(
      context, {&in.weight, has_bias ? &in.bias : nullptr}, slots,
      ExpertFlops(slots, in.weight) + combine_flops * static_cast<double>(in.weight.dim(1)));
}

OpDef IndexedExpertSum() {
  return {
      .name = "indexed_expert_sum",
      .family = "moe",
      .doc =
          "indexed_expert_matmul and the weighted sum of what a token's experts give: out[i,:] = "
          "residual[i,:] + sum_j scale[i,j] * (bias[e,:] + weight[e,:,:] x[r,:]) for e = ids[i,j] "
          "and r = i, or r = i*k+j where x has a row for each slot.",
      .operands = Named(
          IndexedExpertSumCall<OperandSpec>{.x = {.doc = kIndexedRowsDoc},
                                            .weight = {.doc = "any[E,out,in]", .repackable = true},
                                            .ids = ExpertIdsOperand(),
                                            .scale = {.doc = "f32[t,k]"},
                                            .residual = {.doc = "f32[t,out]", .optional = true},
                                            .bias = {.doc = "f32[E,out]", .optional = true}}),
      .results = {{.name = "out",
                   .doc = "f32[t,out]",
                   .in_place = kOperand<IndexedExpertSumCall>.residual}},
      .attrs = {},
      .infer = InferIndexedExperts<IndexedExpertSumCall>,
      .cost = IndexedExpertSumCost,
      .expands_to =
          "%d = indexed_expert_matmul(%x, %weight, %ids, %bias?)\n"
          "%out = scaled_add(%d, %scale, _, %residual?)",
  };
}

}  // namespace

absl::Status RegisterMoeOps(OpRegistry& registry) {
  for (OpDef (*op)() : {TopkSoftmax, RouterTopk, MoeGather, ExpertMatmul, ExpertGlu,
                        IndexedExpertMatmul, IndexedExpertGlu, IndexedExpertSum, ScaledAdd}) {
    SLUICE_RETURN_IF_ERROR(registry.Register(op()));
  }
  return RegisterExpertTiles(registry);
}

}  // namespace sluice
