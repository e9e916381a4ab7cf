// Vulkan kernels of the mixture-of-experts family. Routing stays on the device: no size of a
// dispatch depends on it.
#include "absl/strings/str_cat.h"
#include "backends/vulkan/kernels/product.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

constexpr int64_t kMaxExperts = 1024;  // as in shaders/topk.comp

uint32_t Constant(const Dim& dim) { return static_cast<uint32_t>(dim.factor()); }

absl::Status AcceptsTopk(const Node& node, const proto::DeviceCaps&) {
  const int64_t experts = node.operand(0)->type().shape[1].factor();
  if (experts <= kMaxExperts) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat(experts, " experts, expected at most ", kMaxExperts));
}

absl::Status LowerTopk(Lowering& out) {
  const Shape& logits = out.node().operand(0)->type().shape;
  struct {
    Size tokens;
    uint32_t experts, k, has_bias, sigmoid, renormalise;
    float scale;
  } const push = {.tokens = out.Elements({logits[0]}),
                  .experts = Constant(logits[1]),
                  .k = static_cast<uint32_t>(out.call().Int("k")),
                  .has_bias = out.Has(1),
                  .sigmoid = out.call().String("gating") == "sigmoid",
                  .renormalise = out.call().Bool("renorm"),
                  .scale = static_cast<float>(out.call().Float("scale"))};
  return out.Dispatch({"topk"},
                      {Reads(out.Operand(0)), Reads(out.Operand(1)), Writes(out.Result(0)),
                       Writes(out.Result(1)), Writes(out.ErrorSlot())},
                      push, {GroupsFor(out.Bound(push.tokens), 1), 1, 1});
}

absl::Status LowerMoeGather(Lowering& out) {
  const Shape& x = out.node().operand(0)->type().shape;
  const Shape& ids = out.node().operand(1)->type().shape;
  const auto experts = static_cast<uint32_t>(out.call().Int("experts"));
  struct {
    Size slots;
    uint32_t experts;
  } const route = {out.Elements(ids), experts};
  const int64_t slots = out.Bound(route.slots);
  SLUICE_RETURN_IF_ERROR(out.Dispatch({"moe_route"},
                                      {Reads(out.Operand(1)), Writes(out.Result(1)),
                                       Writes(out.Result(2)), Writes(out.ErrorSlot())},
                                      route, {GroupsFor(slots + experts + 1, 64), 1, 1}));
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

template <Mode kMode>
absl::Status LowerExpertMatmul(Lowering& out) {
  return AddProduct({.weight = 1,
                     .bias = 3,
                     .mode = kMode,
                     .index = 2,
                     .y = out.Result(0),
                     .rows = ResultRows(out)},
                    Form::kVector, out);
}

template <Mode kMode>
absl::Status LowerExpertGlu(Lowering& out) {
  constexpr size_t kNone = 4;  // no operand: there are no biases
  return AddGlu({.weight = 1, .bias = kNone, .mode = kMode, .index = 3, .rows = ResultRows(out)},
                /*up=*/2, /*up_bias=*/kNone, Form::kVector, out);
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

}  // namespace

void AddMoeKernels(std::vector<VulkanKernel>* kernels) {
  kernels->push_back(
      {{"vulkan.topk_softmax", "topk_softmax", "a workgroup a token", AcceptsTopk}, LowerTopk});
  kernels->push_back({{"vulkan.moe_gather", "moe_gather",
                       "every slot counts those before it, then rows are copied", AcceptsAll},
                      LowerMoeGather});
  const auto add = [&](const char* op, const char* doc, auto lower, auto scratch) {
    AddWeightKernels({.name = absl::StrCat("vulkan.", op),
                      .op = op,
                      .doc = doc,
                      .accepts = nullptr,
                      .scratch = scratch},
                     lower, kernels);
  };
  add("expert_matmul", "4 rows of an expert at a time", LowerExpertMatmul<Mode::kGrouped>, nullptr);
  add("expert_glu", "4 rows of an expert at a time, then the activation",
      LowerExpertGlu<Mode::kGrouped>, GluScratch);
  add("indexed_expert_matmul", "row by row", LowerExpertMatmul<Mode::kIndexed>, nullptr);
  add("indexed_expert_glu", "row by row, then the activation", LowerExpertGlu<Mode::kIndexed>,
      GluScratch);
  kernels->push_back(
      {{"vulkan.scaled_add", "scaled_add", "element by element", AcceptsAll}, LowerScaledAdd});
}

}  // namespace sluice::vulkan
