// Vulkan kernels of the mixture-of-experts family. Routing stays on the device: no size of a
// dispatch depends on it.
#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/kernels/product.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

constexpr int64_t kMaxExperts = 1024;  // as in shaders/topk.glsl and shaders/moe_route.comp

uint32_t Constant(const Dim& dim) { return static_cast<uint32_t>(dim.factor()); }

absl::Status CheckExperts(int64_t experts) {
  if (experts <= kMaxExperts) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat(experts, " experts, expected at most ", kMaxExperts));
}

absl::Status AcceptsTopk(const Node& node, const proto::DeviceCaps&) {
  return CheckExperts(node.operand(0)->type().shape[1].factor());
}

absl::Status AcceptsGather(const Node& node, const proto::DeviceCaps&) {
  return CheckExperts(node.result(2)->type().shape[0].factor() - 1);
}

// How topk_softmax and router_topk choose: the end of both shaders' parameters.
struct Choice {
  uint32_t has_bias, sigmoid, renormalise;
  float scale;
};
Choice ChoiceOf(size_t bias, const Lowering& out) {
  return {.has_bias = out.Has(bias),
          .sigmoid = out.call().String("gating") == "sigmoid",
          .renormalise = out.call().Bool("renorm"),
          .scale = static_cast<float>(out.call().Float("scale"))};
}

absl::Status LowerTopk(Lowering& out) {
  const Shape& logits = out.node().operand(0)->type().shape;
  struct {
    Size tokens;
    uint32_t experts, k;
    Choice choice;
  } const push = {.tokens = out.Elements({logits[0]}),
                  .experts = Constant(logits[1]),
                  .k = static_cast<uint32_t>(out.call().Int("k")),
                  .choice = ChoiceOf(1, out)};
  return out.Dispatch({"topk"},
                      {Reads(out.Operand(0)), Reads(out.Operand(1)), Writes(out.Result(0)),
                       Writes(out.Result(1)), Writes(out.ErrorSlot())},
                      push, {GroupsFor(out.Bound(push.tokens), 1), 1, 1});
}

// The shader takes up to 4 tokens at a time.
absl::Status LowerRouter(Lowering& out) {
  const Value& weight = *out.node().operand(1);
  const Shape& shape = weight.type().shape;
  const std::vector<Lowering::Part> parts = out.Parts(1);
  struct {
    Size tokens;
    uint32_t columns, row_bytes, experts, k, has_bias;
    Choice choice;
  } const push = {.tokens = out.Elements({out.node().operand(0)->type().shape[0]}),
                  .columns = Constant(shape[1]),
                  .row_bytes = parts[0].row_bytes,
                  .experts = Constant(shape[0]),
                  .k = static_cast<uint32_t>(out.call().Int("k")),
                  .has_bias = out.Has(2),
                  .choice = ChoiceOf(3, out)};
  const int64_t tokens = out.Bound(push.tokens), at_once = tokens == 1 ? 1 : kNarrowTile;
  const int64_t blocks = (tokens + at_once - 1) / at_once;
  std::vector<uint32_t> constants = FormatConstants({weight.type().dtype});
  constants.push_back(static_cast<uint32_t>(at_once));
  constexpr int64_t kCounterBytes = 4;
  return out.Dispatch(
      {ShaderFor("router", push.columns), std::move(constants)},
      {Reads(out.Operand(1)), Reads(out.Operand(2)), Reads(out.Operand(3)), Reads(out.Operand(0)),
       Writes(out.Result(0)), Writes(out.Result(1)), Writes(out.Scratch()),
       Writes(out.KeptBeside(*out.node().result(0), blocks * kCounterBytes)),
       Writes(out.ErrorSlot())},
      push, {VectorGroups(push.experts, out), blocks, 1});
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
  struct {
    Size slots;
    uint32_t experts;
  } const route = {out.Elements(ids), static_cast<uint32_t>(out.call().Int("experts"))};
  const int64_t slots = out.Bound(route.slots);
  const TileTables tables = TileTablesOf(*out.node().result(2), slots, out);
  SLUICE_RETURN_IF_ERROR(
      out.Dispatch({"moe_route"},
                   {Reads(out.Operand(1)), Writes(out.Result(1)), Writes(out.Result(2)),
                    Writes(tables.narrow), Writes(tables.wide), Writes(out.ErrorSlot())},
                   route, {1, 1, 1}));
  struct {
    Size count, limit, columns;
    uint32_t repeat;
  } const copy = {route.slots, route.slots, out.Elements({x[1]}), Constant(ids[1])};
  return out.Dispatch(
      {"rows", {1}},
      {Reads(out.Operand(0)), Reads(out.Result(1)), Writes(out.Result(0)), Writes(out.ErrorSlot())},
      copy, {GroupsFor(slots * out.Bound(copy.columns), 256), 1, 1});
}

Size ResultRows(const Lowering& out) {
  return out.Elements({out.node().result()->type().shape[0]});
}

template <Mode kMode, Form kForm>
absl::Status LowerExpertMatmul(Lowering& out) {
  return AddProducts({.products = {{.weight = 1, .bias = 3, .y = out.Result(0)}},
                      .mode = kMode,
                      .index = 2,
                      .rows = ResultRows(out)},
                     kForm, out);
}

template <Mode kMode, Form kForm>
absl::Status LowerExpertGlu(Lowering& out) {
  constexpr size_t kNone = 4;  // no operand: there are no biases
  return AddProducts(
      {.products = {{.weight = 1, .bias = kNone, .y = out.Result(0)}, {.weight = 2, .bias = kNone}},
       .activation = ActivationOf(out.call().String("act")),
       .mode = kMode,
       .index = 3,
       .rows = ResultRows(out)},
      kForm, out);
}

struct SumPart {
  uint32_t first_row, rows;
};
struct SumPush {
  Size tokens;
  uint32_t columns, experts, used, slots_per_row, outputs, row_bytes, has_bias, has_residual;
  std::array<SumPart, kMostWeights> parts;
};

// One dispatch, or, of a weight in more parts than it can read, several, which add up in the
// result.
absl::Status LowerExpertSum(Lowering& out) {
  const Value& weight = *out.node().operand(1);
  const Shape& shape = weight.type().shape;
  const Shape& ids = out.node().operand(2)->type().shape;
  const int64_t x_rows = out.Bound(out.Elements({out.node().operand(0)->type().shape[0]}));
  const std::vector<Lowering::Part> parts = out.Parts(1);
  SumPush push = {.tokens = out.Elements({ids[0]}),
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
  for (size_t first = 0; first < parts.size(); first += kMostWeights) {
    const size_t count = std::min(kMostWeights, parts.size() - first);
    std::vector<Binding> bindings;
    for (size_t i = 0; i < count; ++i) {
      const Lowering::Part& part = parts[first + i];
      push.parts[i] = {part.first_row, part.rows};
      bindings.push_back(Reads(part.span));
    }
    bindings.insert(
        bindings.end(),
        {Reads(out.Operand(5)), Writes(out.Result(0)), Reads(out.Operand(0)), Reads(out.Operand(2)),
         Reads(out.Operand(3)), Reads(residual), Writes(out.ErrorSlot())});
    SLUICE_RETURN_IF_ERROR(out.Dispatch(
        {.name = ShaderFor("expert_sum", push.columns),
         .constants = FormatConstants(std::vector<DType>(count, weight.type().dtype)),
         .arrays = {static_cast<uint32_t>(count)}},
        std::move(bindings), push, {VectorGroups(push.outputs, out), out.Bound(push.tokens), 1}));
    push.has_residual = 1;
    residual = out.Result(0);
  }
  return absl::OkStatus();
}

absl::Status LowerScaledAdd(Lowering& out) {
  const Shape& weights = out.node().operand(1)->type().shape;
  const Shape& y = out.node().result()->type().shape;
  struct {
    Size tokens;
    uint32_t k, columns, has_row_of, has_residual;
  } const push = {out.Elements({weights[0]}), Constant(weights[1]), Constant(y[1]), out.Has(2),
                  out.Has(3)};
  return out.Dispatch({"scaled_add"},
                      {Reads(out.Operand(0)), Reads(out.Operand(1)), Reads(out.Operand(2)),
                       Reads(out.Operand(3)), Writes(out.Result(0)), Writes(out.ErrorSlot())},
                      push, {GroupsFor(out.Bound(push.tokens) * push.columns, 256), 1, 1});
}

// Only moe_gather leaves the table of tiles.
template <Form kForm, size_t kOffsets>
absl::Status AcceptsGrouped(const Node& node, const proto::DeviceCaps& caps) {
  const Value* offsets = node.operand(kOffsets);
  const Node* producer = offsets->producer();
  if (producer != nullptr && producer->op().name == "moe_gather") {
    return AcceptsForm(kForm, node, caps);
  }
  return absl::UnimplementedError(absl::StrCat(offsets->ref(), " is not a result of moe_gather"));
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
  AddWeightKernels<AcceptsGrouped<kForm, 2>>(matmul, LowerExpertMatmul<Mode::kGrouped, kForm>,
                                             kernels);
  Kernel glu = ExpertKernel(absl::StrCat("expert_glu", info.suffix), "expert_glu", doc);
  glu.cost = GroupedCost<kForm>;
  AddWeightKernels<AcceptsGrouped<kForm, 3>>(glu, LowerExpertGlu<Mode::kGrouped, kForm>, kernels);
}

}  // namespace

void AddMoeKernels(std::vector<VulkanKernel>* kernels) {
  kernels->push_back(
      {{"vulkan.topk_softmax", "topk_softmax", "a workgroup a token", AcceptsTopk}, LowerTopk});
  Kernel router = ExpertKernel("router_topk", "router_topk",
                               "logits by many workgroups; the one that is done last chooses");
  router.scratch = RouterScratch;
  AddWeightKernels<AcceptsRouter>(router, LowerRouter, kernels);
  kernels->push_back(
      {{"vulkan.moe_gather", "moe_gather",
        "a workgroup counts and makes tables of tiles, then rows are copied", AcceptsGather},
       LowerMoeGather});
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
