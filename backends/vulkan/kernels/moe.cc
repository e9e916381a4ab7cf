// Vulkan kernels of the mixture-of-experts family. Routing stays on the device: no size of a
// dispatch depends on it.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/kernels/product.h"
#include "backends/vulkan/shaders/expert_sum.inc"
#include "backends/vulkan/shaders/expert_tiles.inc"
#include "backends/vulkan/shaders/moe_route.inc"
#include "backends/vulkan/shaders/router.inc"
#include "backends/vulkan/shaders/rows.inc"
#include "backends/vulkan/shaders/scaled_add.inc"
#include "backends/vulkan/shaders/topk.inc"
#include "graph/ops/moe.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

uint32_t Constant(const Dim& dim) { return static_cast<uint32_t>(dim.factor()); }

absl::Status CheckExperts(int64_t experts) {
  if (experts <= MAX_EXPERTS) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat(experts, " experts, expected at most ", MAX_EXPERTS));
}

absl::Status AcceptsTopk(const Node& node, const proto::DeviceCaps&) {
  return CheckExperts(As<TopkSoftmaxCall>(node).logits->type().shape[1].factor());
}

absl::Status AcceptsGather(const Node& node, const proto::DeviceCaps&) {
  return CheckExperts(node.result(2)->type().shape[0].factor() - 1);
}

ExpertChoice ChoiceOf(const Operand& bias, const Lowering& out) {
  return {.has_bias = bias.is_given(),
          .sigmoid = out.call().String("gating") == "sigmoid",
          .renormalise = out.call().Bool("renorm"),
          .scale = static_cast<float>(out.call().Float("scale"))};
}

absl::Status LowerTopk(Lowering& out) {
  const auto in = As<TopkSoftmaxCall>(out);
  const Shape& logits = in.logits.shape();
  const topk::Parameters parameters = {.tokens = out.Elements({logits[0]}),
                                       .experts = Constant(logits[1]),
                                       .k = static_cast<uint32_t>(out.call().Int("k")),
                                       .choice = ChoiceOf(in.bias, out)};
  return out.Dispatch("topk",
                      topk::Bindings{.logits = in.logits.span,
                                     .choice_bias = in.bias.span,
                                     .gate_weights = out.Result(0),
                                     .ids = out.Result(1),
                                     .errors = out.ErrorSlot()},
                      parameters, {GroupsFor(out.Bound(parameters.tokens), 1), 1, 1});
}

// The shader takes up to 4 tokens at a time.
absl::Status LowerRouter(Lowering& out) {
  const auto in = As<RouterTopkCall>(out);
  const Shape& shape = in.weight.shape();
  const std::vector<Lowering::Part> parts = out.Parts(in.weight);
  const router::Parameters parameters = {.tokens = out.Elements({in.x.shape()[0]}),
                                         .columns = Constant(shape[1]),
                                         .row_bytes = parts[0].row_bytes,
                                         .experts = Constant(shape[0]),
                                         .k = static_cast<uint32_t>(out.call().Int("k")),
                                         .has_bias = in.logit_bias.is_given(),
                                         .choice = ChoiceOf(in.bias, out)};
  const int64_t tokens = out.Bound(parameters.tokens), at_once = tokens == 1 ? 1 : NARROW_TILE;
  const int64_t blocks = (tokens + at_once - 1) / at_once;
  constexpr int64_t kCounterBytes = 4;
  return out.Dispatch(ShaderFor("router", parameters.columns),
                      router::Constants{.formats = FormatsOf({in.weight.type().dtype}),
                                        .COLUMNS = static_cast<uint32_t>(at_once)},
                      router::Bindings{.weights = {in.weight.span},
                                       .bias = in.logit_bias.span,
                                       .choice_bias = in.bias.span,
                                       .x = in.x.span,
                                       .gate_weights = out.Result(0),
                                       .ids = out.Result(1),
                                       .logits = out.Scratch(),
                                       .done = out.Kept(blocks * kCounterBytes),
                                       .errors = out.ErrorSlot()},
                      parameters, {VectorGroups(parameters.experts, out), blocks, 1});
}

// For the logits.
absl::StatusOr<int64_t> RouterScratch(const Node& node, const SymbolValues& bounds,
                                      const proto::DeviceCaps&) {
  const auto in = As<RouterTopkCall>(node);
  SLUICE_ASSIGN_OR_RETURN(const int64_t tokens, bounds.Evaluate(in.x->type().shape[0]));
  return tokens * in.weight->type().shape[0].factor() * int64_t{sizeof(float)};
}

absl::Status LowerMoeGather(Lowering& out) {
  const auto in = As<MoeGatherCall>(out);
  const Shape &x = in.x.shape(), &ids = in.ids.shape();
  const moe_route::Parameters route = {.slots = out.Elements(ids),
                                       .experts = static_cast<uint32_t>(out.call().Int("experts"))};
  const int64_t slots = out.Bound(route.slots);
  SLUICE_RETURN_IF_ERROR(out.Dispatch("moe_route",
                                      moe_route::Bindings{.ids = in.ids.span,
                                                          .row_of = out.Result(1),
                                                          .offsets = out.Result(2),
                                                          .errors = out.ErrorSlot()},
                                      route, {1, 1, 1}));
  const rows::Parameters copy = {.count = route.slots,
                                 .limit = route.slots,
                                 .columns = out.Elements({x[1]}),
                                 .repeat = Constant(ids[1])};
  return out.Dispatch(
      "rows", rows::Constants{.SCATTER = true},
      rows::Bindings{
          .x = in.x.span, .rows = out.Result(1), .y = out.Result(0), .errors = out.ErrorSlot()},
      copy, {GroupsFor(slots * out.Bound(copy.columns), rows::INVOCATIONS), 1, 1});
}

absl::Status AcceptsTiles(const Node& node, const proto::DeviceCaps&) {
  return CheckExperts(As<ExpertTilesCall>(node).offsets->type().shape[0].factor() - 1);
}

absl::Status LowerExpertTiles(Lowering& out) {
  const Operand offsets = As<ExpertTilesCall>(out).offsets;
  const expert_tiles::Parameters parameters = {
      .rows = out.Elements({out.node().result()->type().shape[0]}),
      .experts = Constant(offsets.shape()[0]) - 1,
      .most = static_cast<uint32_t>(out.call().Int("most"))};
  return out.Dispatch(
      "expert_tiles",
      expert_tiles::Bindings{
          .offsets = offsets.span, .tiles = out.Result(0), .errors = out.ErrorSlot()},
      parameters, {1, 1, 1});
}

Size ResultRows(const Lowering& out) {
  return out.Elements({out.node().result()->type().shape[0]});
}

// `x` are rows, `index` says which expert's matrix they meet.
template <typename Call>
absl::Status AddExpertMatmul(const Call& in, const Operand& x, const Operand& index, Mode mode,
                             Form form, Lowering& out) {
  return AddProducts({.x = x,
                      .products = {{.weight = in.weight, .bias = in.bias, .y = out.Result(0)}},
                      .mode = mode,
                      .index = index,
                      .rows = ResultRows(out)},
                     form, out);
}

template <typename Call>
absl::Status AddExpertGlu(const Call& in, const Operand& x, const Operand& index, Mode mode,
                          Form form, Lowering& out) {
  const Operand no_bias = Lowering::NoOperand();
  return AddProducts({.x = x,
                      .products = {{.weight = in.gate, .bias = no_bias, .y = out.Result(0)},
                                   {.weight = in.up, .bias = no_bias}},
                      .activation = ActivationOf(out.call().String("act")),
                      .mode = mode,
                      .index = index,
                      .rows = ResultRows(out)},
                     form, out);
}

template <Form kForm>
absl::Status LowerExpertMatmul(Lowering& out) {
  const auto in = As<ExpertMatmulCall>(out);
  return AddExpertMatmul(in, in.rows, in.tiles, Mode::kGrouped, kForm, out);
}

template <Form kForm>
absl::Status LowerExpertGlu(Lowering& out) {
  const auto in = As<ExpertGluCall>(out);
  return AddExpertGlu(in, in.rows, in.tiles, Mode::kGrouped, kForm, out);
}

absl::Status LowerIndexedExpertMatmul(Lowering& out) {
  const auto in = As<IndexedExpertMatmulCall>(out);
  return AddExpertMatmul(in, in.x, in.ids, Mode::kIndexed, Form::kVector, out);
}

absl::Status LowerIndexedExpertGlu(Lowering& out) {
  const auto in = As<IndexedExpertGluCall>(out);
  return AddExpertGlu(in, in.x, in.ids, Mode::kIndexed, Form::kVector, out);
}

// One dispatch, or, of a weight in more parts than it can read, several, which add up in the
// result.
absl::Status LowerExpertSum(Lowering& out) {
  const auto in = As<IndexedExpertSumCall>(out);
  const Shape &shape = in.weight.shape(), &ids = in.ids.shape();
  const int64_t x_rows = out.Bound(out.Elements({in.x.shape()[0]}));
  const std::vector<Lowering::Part> parts = out.Parts(in.weight);
  expert_sum::Parameters parameters = {
      .tokens = out.Elements({ids[0]}),
      .columns = Constant(shape[2]),
      .experts = Constant(shape[0]),
      .used = Constant(ids[1]),
      .slots_per_row = static_cast<uint32_t>(out.Bound(out.Elements(ids)) / x_rows),
      .outputs = Constant(shape[1]),
      .row_bytes = parts[0].row_bytes,
      .has_bias = in.bias.is_given(),
      .has_residual = in.residual.is_given(),
      .parts = {}};
  Span residual = in.residual.span;
  for (size_t first = 0; first < parts.size(); first += MAX_WEIGHTS) {
    const size_t count = std::min<size_t>(MAX_WEIGHTS, parts.size() - first);
    std::vector<Span> weights;
    for (size_t i = 0; i < count; ++i) {
      const Lowering::Part& part = parts[first + i];
      parameters.parts[i] = {.first_row = part.first_row, .rows = part.rows};
      weights.push_back(part.span);
    }
    const std::vector<DType> formats(count, in.weight.type().dtype);
    SLUICE_RETURN_IF_ERROR(out.Dispatch(
        ShaderFor("expert_sum", parameters.columns),
        expert_sum::Constants{.formats = FormatsOf(formats)},
        expert_sum::Bindings{.weights = std::move(weights),
                             .bias = in.bias.span,
                             .y = out.Result(0),
                             .x = in.x.span,
                             .ids = in.ids.span,
                             .scale = in.scale.span,
                             .residual = residual,
                             .errors = out.ErrorSlot()},
        parameters, {VectorGroups(parameters.outputs, out), out.Bound(parameters.tokens), 1}));
    parameters.has_residual = 1;
    residual = out.Result(0);
  }
  return absl::OkStatus();
}

absl::Status LowerScaledAdd(Lowering& out) {
  const auto in = As<ScaledAddCall>(out);
  const Shape& weights = in.weights.shape();
  const Shape& y = out.node().result()->type().shape;
  const scaled_add::Parameters parameters = {.tokens = out.Elements({weights[0]}),
                                             .k = Constant(weights[1]),
                                             .columns = Constant(y[1]),
                                             .has_row_of = in.row_of.is_given(),
                                             .has_residual = in.residual.is_given()};
  const int64_t elements = out.Bound(parameters.tokens) * parameters.columns;
  return out.Dispatch("scaled_add",
                      scaled_add::Bindings{.rows = in.rows.span,
                                           .weights = in.weights.span,
                                           .row_of = in.row_of.span,
                                           .residual = in.residual.span,
                                           .y = out.Result(0),
                                           .errors = out.ErrorSlot()},
                      parameters, {GroupsFor(elements, scaled_add::INVOCATIONS), 1, 1});
}

// The matrices of experts by which a product's cost and limits go; gate and up are of one shape.
const TensorType& ExpertsOf(const ExpertMatmulCall<Value*>& in) { return in.weight->type(); }
const TensorType& ExpertsOf(const ExpertGluCall<Value*>& in) { return in.gate->type(); }

// Of the experts, expert_tiles must take as many.
template <template <typename> class Call, Form kForm>
absl::Status AcceptsGrouped(const Node& node, const proto::DeviceCaps& caps) {
  SLUICE_RETURN_IF_ERROR(CheckExperts(ExpertsOf(As<Call>(node)).shape[0].factor()));
  return AcceptsForm(kForm, node, caps);
}

// The table of tiles as this form takes them.
template <template <typename> class Call, Form kForm>
NodeSpec MakeTiles(const Node& node) {
  const auto in = As<Call>(node);
  return {.op = "expert_tiles",
          .operands = {in.offsets},
          .attrs = {{"most", InfoOf(kForm).expert_rows}, {"rows", Shape{in.rows->type().shape[0]}}},
          .names = {}};
}

absl::Status AcceptsRouter(const Node& node, const proto::DeviceCaps&) {
  return CheckExperts(As<RouterTopkCall>(node).weight->type().shape[0].factor());
}

// Experts' matrices that are read, at a speed that stands for all devices, as in linear.cc.
template <template <typename> class Call, Form kForm>
double GroupedCost(const Node& node, const SymbolValues& bounds, const proto::DeviceCaps&) {
  constexpr double kBytesPerSecond = 1e11;
  const TensorType& weight = ExpertsOf(As<Call>(node));
  const int64_t experts = weight.shape[0].factor();
  const int64_t rows = bounds.Evaluate(node.result()->type().shape[0]).value_or(1);
  const double bytes =
      static_cast<double>(bounds.EvaluateBytes(weight).value_or(0)) / static_cast<double>(experts);
  const FormInfo info = InfoOf(kForm);
  const int64_t blocks = MostTiles(rows, experts, info.expert_rows);
  return bytes * static_cast<double>(blocks) * info.passes / kBytesPerSecond;
}

Kernel ExpertKernel(absl::string_view name, absl::string_view op, absl::string_view doc) {
  return {.name = absl::StrCat("vulkan.", name),
          .op = std::string(op),
          .doc = std::string(doc),
          .accepts = nullptr};
}

template <Form kForm>
void AddGroupedKernels(std::vector<VulkanKernel>* kernels) {
  const FormInfo info = InfoOf(kForm);
  const std::string doc = absl::StrCat("up to ", info.expert_rows, " rows of an expert at a time");
  Kernel matmul = ExpertKernel(absl::StrCat("expert_matmul", info.suffix), "expert_matmul", doc);
  matmul.cost = GroupedCost<ExpertMatmulCall, kForm>;
  matmul.derived = {.operand = kOperand<ExpertMatmulCall>.tiles,
                    .make = MakeTiles<ExpertMatmulCall, kForm>};
  AddWeightKernels<AcceptsGrouped<ExpertMatmulCall, kForm>>(matmul, LowerExpertMatmul<kForm>,
                                                            kernels);
  Kernel glu = ExpertKernel(absl::StrCat("expert_glu", info.suffix), "expert_glu", doc);
  glu.cost = GroupedCost<ExpertGluCall, kForm>;
  glu.derived = {.operand = kOperand<ExpertGluCall>.tiles, .make = MakeTiles<ExpertGluCall, kForm>};
  AddWeightKernels<AcceptsGrouped<ExpertGluCall, kForm>>(glu, LowerExpertGlu<kForm>, kernels);
}

}  // namespace

void AddMoeKernels(std::vector<VulkanKernel>* kernels) {
  kernels->push_back(
      {{"vulkan.topk_softmax", "topk_softmax", "a workgroup a token", AcceptsTopk}, LowerTopk});
  Kernel router = ExpertKernel("router_topk", "router_topk",
                               "logits by many workgroups; the one that is done last chooses");
  router.scratch = RouterScratch;
  AddWeightKernels<AcceptsRouter>(router, LowerRouter, kernels);
  kernels->push_back({{"vulkan.moe_gather", "moe_gather",
                       "a workgroup counts, then rows are copied", AcceptsGather},
                      LowerMoeGather});
  kernels->push_back({{"vulkan.expert_tiles", "expert_tiles", "a workgroup for all", AcceptsTiles},
                      LowerExpertTiles});
  // Of equal cost, the first is taken.
  AddGroupedKernels<Form::kVector>(kernels);
  AddGroupedKernels<Form::kMatrices>(kernels);
  AddGroupedKernels<Form::kTiles>(kernels);
  AddWeightKernels(ExpertKernel("indexed_expert_matmul", "indexed_expert_matmul", "row by row"),
                   LowerIndexedExpertMatmul, kernels);
  AddWeightKernels(ExpertKernel("indexed_expert_glu", "indexed_expert_glu",
                                "row by row, gate and up side by side"),
                   LowerIndexedExpertGlu, kernels);
  AddWeightKernels(ExpertKernel("indexed_expert_sum", "indexed_expert_sum",
                                "every output goes through its token's experts"),
                   LowerExpertSum, kernels);
  kernels->push_back(
      {{"vulkan.scaled_add", "scaled_add", "element by element", AcceptsAll}, LowerScaledAdd});
}

}  // namespace sluice::vulkan
