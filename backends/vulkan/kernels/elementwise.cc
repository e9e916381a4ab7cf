// Vulkan kernels of the elementwise family.
#include "backends/vulkan/kernels/elementwise.h"

namespace sluice::vulkan {
namespace {

constexpr int64_t kGroup = 256;  // invocations

Size CountOf(const Lowering& out) { return out.Elements(out.node().result()->type().shape); }

template <Elementwise kOp>
absl::Status LowerBinary(Lowering& out) {
  return AddElementwise({.op = kOp,
                         .a = out.Operand(0),
                         .b = out.Operand(1),
                         .y = out.Result(0),
                         .count = CountOf(out),
                         .period = out.Elements(out.node().operand(1)->type().shape)},
                        out);
}

absl::Status LowerUnary(Elementwise op, float factor, Lowering& out) {
  return AddElementwise({.op = op,
                         .a = out.Operand(0),
                         .b = out.Operand(0),
                         .y = out.Result(0),
                         .count = CountOf(out),
                         .factor = factor},
                        out);
}
absl::Status LowerSilu(Lowering& out) { return LowerUnary(Elementwise::kSilu, 1, out); }
absl::Status LowerGelu(Lowering& out) {
  const bool is_tanh = out.call().String("approximate") == "tanh";
  return LowerUnary(is_tanh ? Elementwise::kGeluTanh : Elementwise::kGeluErf, 1, out);
}
absl::Status LowerScale(Lowering& out) {
  return LowerUnary(Elementwise::kScale, static_cast<float>(out.call().Float("factor")), out);
}

absl::Status LowerSoftmax(Lowering& out) {
  struct {
    Size elements, columns;
  } const push = {CountOf(out), out.Elements({out.node().result()->type().shape.back()})};
  const int64_t rows = out.Bound(push.elements) / out.Bound(push.columns);
  return out.Dispatch({"softmax"}, {Reads(out.Operand(0)), Writes(out.Result(0))}, push,
                      {GroupsFor(rows, 1), 1, 1});
}

absl::Status LowerMeanPool(Lowering& out) {
  const Shape& x = out.node().operand(0)->type().shape;
  const Shape& y = out.node().result()->type().shape;
  struct {
    Size tokens, seqs, columns;
  } const push = {out.Elements({x[0]}), out.Elements({y[0]}), out.Elements({y[1]})};
  return out.Dispatch({"mean_pool"},
                      {Reads(out.Operand(0)), Reads(out.Operand(1)), Reads(out.Operand(2)),
                       Writes(out.Result(0)), Writes(out.ErrorSlot())},
                      push, {GroupsFor(out.Bound(CountOf(out)), kGroup), 1, 1});
}

}  // namespace

absl::Status AddElementwise(const ElementwiseCall& call, Lowering& out) {
  struct {
    Size count, period;
    float factor;
  } const push = {call.count, call.period, call.factor};
  return out.Dispatch({"elementwise", {static_cast<uint32_t>(call.op)}},
                      {Reads(call.a), Reads(call.b), Writes(call.y)}, push,
                      {GroupsFor(out.Bound(call.count), kGroup), 1, 1});
}

void AddElementwiseKernels(std::vector<VulkanKernel>* kernels) {
  const auto add = [&](const char* name, const char* op, const char* doc, auto lower) {
    kernels->push_back({{name, op, doc, AcceptsAll}, lower});
  };
  add("vulkan.add", "add", "element by element, second operand repeated",
      LowerBinary<Elementwise::kAdd>);
  add("vulkan.mul", "mul", "element by element, second operand repeated",
      LowerBinary<Elementwise::kMul>);
  add("vulkan.silu", "silu", "element by element", LowerSilu);
  add("vulkan.gelu", "gelu", "element by element", LowerGelu);
  add("vulkan.scale", "scale", "element by element", LowerScale);
  add("vulkan.softmax", "softmax", "a workgroup a row", LowerSoftmax);
  add("vulkan.mean_pool", "mean_pool", "an invocation a column of a sequence", LowerMeanPool);
}

}  // namespace sluice::vulkan
