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
  return CheckExperts(node.operand(0)->type().shape[1].factor());
}

absl::Status AcceptsGather(const Node& node, const proto::DeviceCaps&) {
  return CheckExperts(node.result(2)->type().shape[0].factor() - 1);
}

ExpertChoice ChoiceOf(size_t bias, const Lowering& out) {
  return {.has_bias = out.Has(bias),
          .sigmoid = out.call().String("gating") == "sigmoid",
          .renormalise = out.call().Bool("renorm"),
          .scale = static_cast<float>(out.call().Float("scale"))};
}

absl::Status LowerTopk(Lowering& out) {
  const Shape& logits = out.node().operand(0)->type().shape;
  const topk::Parameters parameters = {.tokens = out.Elements({logits[0]}),
                                       .experts = Constant(logits[1]),
                                       .k = static_cast<uint32_t>(out.call().Int("k")),
                                       .choice = ChoiceOf(1, out)};
  return out.Dispatch("topk",
                      topk::Bindings{.logits = out.Operand(0),
                                     .choice_bias = out.Operand(1),
                                     .gate_weights = out.Result(0),
                                     .ids = out.Result(1),
                                     .errors = out.ErrorSlot()},
                      parameters, {GroupsFor(out.Bound(parameters.tokens), 1), 1, 1});
}

// The shader takes up to 4 tokens at a time.
absl::Status LowerRouter(Lowering& out) {
  const Value& weight = *out.node().operand(1);
  const Shape& shape = weight.type().shape;
  const std::vector<Lowering::Part> parts = out.Parts(1);
  const router::Parameters parameters = {
      .tokens = out.Elements({out.node().operand(0)->type().shape[0]}),
      .columns = Constant(shape[1]),
      .row_bytes = parts[0].row_bytes,
      .experts = Constant(shape[0]),
      .k = static_cast<uint32_t>(out.call().Int("k")),
      .has_bias = out.Has(2),
      .choice = ChoiceOf(3, out)};
  const int64_t tokens = out.Bound(parameters.tokens), at_once = tokens == 1 ? 1 : NARROW_TILE;
  const int64_t blocks = (tokens + at_once - 1) / at_once;
  constexpr int64_t kCounterBytes = 4;
  return out.Dispatch(ShaderFor("router", parameters.columns),
                      router::Constants{.formats = FormatsOf({weight.type().dtype}),
                                        .COLUMNS = static_cast<uint32_t>(at_once)},
                      router::Bindings{.weights = {out.Operand(1)},
                                       .bias = out.Operand(2),
                                       .choice_bias = out.Operand(3),
                                       .x = out.Operand(0),
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
  SLUICE_ASSIGN_OR_RETURN(const int64_t tokens, bounds.Evaluate(node.operand(0)->type().shape[0]));
  return tokens * node.operand(1)->type().shape[0].factor() * int64_t{sizeof(float)};
}

absl::Status LowerMoeGather(Lowering& out) {
  const Shape& x = out.node().operand(0)->type().shape;
  const Shape& ids = out.node().operand(1)->type().shape;
  const moe_route::Parameters route = {.slots = out.Elements(ids),
                                       .experts = static_cast<uint32_t>(out.call().Int("experts"))};
  const int64_t slots = out.Bound(route.slots);
  SLUICE_RETURN_IF_ERROR(out.Dispatch("moe_route",
                                      moe_route::Bindings{.ids = out.Operand(1),
                                                          .row_of = out.Result(1),
                                                          .offsets = out.Result(2),
                                                          .errors = out.ErrorSlot()},
                                      route, {1, 1, 1}));
  const rows::Parameters copy = {.count = route.slots,
                                 .limit = route.slots,
                                 .columns = out.Elements({x[1]}),
                                 .repeat = Constant(ids[1])};
  return out.Dispatch("rows", rows::Constants{.SCATTER = true},
                      rows::Bindings{.x = out.Operand(0),
                                     .rows = out.Result(1),
                                     .y = out.Result(0),
                                     .errors = out.ErrorSlot()},
                      copy, {GroupsFor(slots * out.Bound(copy.columns), rows::INVOCATIONS), 1, 1});
}

absl::Status AcceptsTiles(const Node& node, const proto::DeviceCaps&) {
  return CheckExperts(node.operand(0)->type().shape[0].factor() - 1);
}

absl::Status LowerExpertTiles(Lowering& out) {
  const expert_tiles::Parameters parameters = {
      .rows = out.Elements({out.node().result()->type().shape[0]}),
      .experts = Constant(out.node().operand(0)->type().shape[0]) - 1,
      .most = static_cast<uint32_t>(out.call().Int("most"))};
  return out.Dispatch(
      "expert_tiles",
      expert_tiles::Bindings{
          .offsets = out.Operand(0), .tiles = out.Result(0), .errors = out.ErrorSlot()},
      parameters, {1, 1, 1});
}

constexpr size_t kTiles = 4;  // operand of expert_matmul and expert_glu

Size ResultRows(const Lowering& out) {
  return out.Elements({out.node().result()->type().shape[0]});
}

template <Mode kMode, Form kForm>
absl::Status LowerExpertMatmul(Lowering& out) {
  return AddProducts({.products = {{.weight = 1, .bias = 3, .y = out.Result(0)}},
                      .mode = kMode,
                      .index = kMode == Mode::kGrouped ? kTiles : 2,
                      .rows = ResultRows(out)},
                     kForm, out);
}

template <Mode kMode, Form kForm>
absl::Status LowerExpertGlu(Lowering& out) {
  constexpr size_t kNone = 5;  // no operand: there are no biases
  return AddProducts(
      {.products = {{.weight = 1, .bias = kNone, .y = out.Result(0)}, {.weight = 2, .bias = kNone}},
       .activation = ActivationOf(out.call().String("act")),
       .mode = kMode,
       .index = kMode == Mode::kGrouped ? kTiles : 3,
       .rows = ResultRows(out)},
      kForm, out);
}

// One dispatch, or, of a weight in more parts than it can read, several, which add up in the
// result.
absl::Status LowerExpertSum(Lowering& out) {
  const Value& weight = *out.node().operand(1);
  const Shape& shape = weight.type().shape;
  const Shape& ids = out.node().operand(2)->type().shape;
  const int64_t x_rows = out.Bound(out.Elements({out.node().operand(0)->type().shape[0]}));
  const std::vector<Lowering::Part> parts = out.Parts(1);
  expert_sum::Parameters parameters = {
      .tokens = out.Elements({ids[0]}),
      .columns = Constant(shape[2]),
      .experts = Constant(shape[0]),
      .used = Constant(ids[1]),
      .slots_per_row = static_cast<uint32_t>(out.Bound(out.Elements(ids)) / x_rows),
      .outputs = Constant(shape[1]),
      .row_bytes = parts[0].row_bytes,
      .has_bias = out.Has(5),
      .has_residual = out.Has(4),
      .parts = {}};
  Span residual = out.Operand(4);
  for (size_t first = 0; first < parts.size(); first += MAX_WEIGHTS) {
    const size_t count = std::min<size_t>(MAX_WEIGHTS, parts.size() - first);
    std::vector<Span> weights;
    for (size_t i = 0; i < count; ++i) {
      const Lowering::Part& part = parts[first + i];
      parameters.parts[i] = {.first_row = part.first_row, .rows = part.rows};
      weights.push_back(part.span);
    }
    const std::vector<DType> formats(count, weight.type().dtype);
    SLUICE_RETURN_IF_ERROR(out.Dispatch(
        ShaderFor("expert_sum", parameters.columns),
        expert_sum::Constants{.formats = FormatsOf(formats)},
        expert_sum::Bindings{.weights = std::move(weights),
                             .bias = out.Operand(5),
                             .y = out.Result(0),
                             .x = out.Operand(0),
                             .ids = out.Operand(2),
                             .scale = out.Operand(3),
                             .residual = residual,
                             .errors = out.ErrorSlot()},
        parameters, {VectorGroups(parameters.outputs, out), out.Bound(parameters.tokens), 1}));
    parameters.has_residual = 1;
    residual = out.Result(0);
  }
  return absl::OkStatus();
}

absl::Status LowerScaledAdd(Lowering& out) {
  const Shape& weights = out.node().operand(1)->type().shape;
  const Shape& y = out.node().result()->type().shape;
  const scaled_add::Parameters parameters = {.tokens = out.Elements({weights[0]}),
                                             .k = Constant(weights[1]),
                                             .columns = Constant(y[1]),
                                             .has_row_of = out.Has(2),
                                             .has_residual = out.Has(3)};
  const int64_t elements = out.Bound(parameters.tokens) * parameters.columns;
  return out.Dispatch("scaled_add",
                      scaled_add::Bindings{.rows = out.Operand(0),
                                           .weights = out.Operand(1),
                                           .row_of = out.Operand(2),
                                           .residual = out.Operand(3),
                                           .y = out.Result(0),
                                           .errors = out.ErrorSlot()},
                      parameters, {GroupsFor(elements, scaled_add::INVOCATIONS), 1, 1});
}

// Of the experts, expert_tiles must take as many.
template <Form kForm>
absl::Status AcceptsGrouped(const Node& node, const proto::DeviceCaps& caps) {
  SLUICE_RETURN_IF_ERROR(CheckExperts(node.operand(1)->type().shape[0].factor()));
  return AcceptsForm(kForm, node, caps);
}

// The table of tiles as this form takes them.
template <Form kForm, size_t kOffsets>
NodeSpec MakeTiles(const Node& node) {
  return {.op = "expert_tiles",
          .operands = {node.operand(kOffsets)},
          .attrs = {{"most", InfoOf(kForm).expert_rows},
                    {"rows", Shape{node.operand(0)->type().shape[0]}}},
          .names = {}};
}

absl::Status AcceptsRouter(const Node& node, const proto::DeviceCaps&) {
  return CheckExperts(node.operand(1)->type().shape[0].factor());
}

// Experts' matrices that are read, at a speed that stands for all devices, as in linear.cc.
template <Form kForm>
double GroupedCost(const Node& node, const SymbolValues& bounds, const proto::DeviceCaps&) {
  constexpr double kBytesPerSecond = 1e11;
  const TensorType& weight = node.operand(1)->type();
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
  matmul.cost = GroupedCost<kForm>;
  matmul.derived = {.operand = kTiles, .make = MakeTiles<kForm, 2>};
  AddWeightKernels<AcceptsGrouped<kForm>>(matmul, LowerExpertMatmul<Mode::kGrouped, kForm>,
                                          kernels);
  Kernel glu = ExpertKernel(absl::StrCat("expert_glu", info.suffix), "expert_glu", doc);
  glu.cost = GroupedCost<kForm>;
  glu.derived = {.operand = kTiles, .make = MakeTiles<kForm, 3>};
  AddWeightKernels<AcceptsGrouped<kForm>>(glu, LowerExpertGlu<Mode::kGrouped, kForm>, kernels);
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
                   LowerExpertMatmul<Mode::kIndexed, Form::kVector>, kernels);
  AddWeightKernels(ExpertKernel("indexed_expert_glu", "indexed_expert_glu",
                                "row by row, gate and up side by side"),
                   LowerExpertGlu<Mode::kIndexed, Form::kVector>, kernels);
  AddWeightKernels(ExpertKernel("indexed_expert_sum", "indexed_expert_sum",
                                "every output goes through its token's experts"),
                   LowerExpertSum, kernels);
  kernels->push_back(
      {{"vulkan.scaled_add", "scaled_add", "element by element", AcceptsAll}, LowerScaledAdd});
}

}  // namespace sluice::vulkan
