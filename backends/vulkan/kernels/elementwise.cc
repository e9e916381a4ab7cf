// Vulkan kernels of the elementwise family.
#include "backends/vulkan/kernels/elementwise.h"

#include "backends/vulkan/shaders/mean_pool.inc"
#include "backends/vulkan/shaders/softmax.inc"
#include "graph/ops/elementwise.h"

namespace sluice::vulkan {
namespace {

Size CountOf(const Lowering& out) { return out.Elements(out.node().result()->type().shape); }

template <Elementwise kOp>
absl::Status LowerBinary(Lowering& out) {
  const auto in = As<BinaryCall>(out);
  return AddElementwise({.op = kOp,
                         .a = in.a.span,
                         .b = in.b.span,
                         .y = out.Result(0),
                         .count = CountOf(out),
                         .period = out.Elements(in.b.shape())},
                        out);
}

absl::Status LowerUnary(Elementwise op, float factor, Lowering& out) {
  const Span x = As<UnaryCall>(out).x.span;
  return AddElementwise(
      {.op = op, .a = x, .b = x, .y = out.Result(0), .count = CountOf(out), .factor = factor}, out);
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
  const softmax::Parameters parameters = {
      .elements = CountOf(out),
      .columns = out.Elements({out.node().result()->type().shape.back()})};
  const int64_t rows = out.Bound(parameters.elements) / out.Bound(parameters.columns);
  return out.Dispatch("softmax",
                      softmax::Bindings{.x = As<UnaryCall>(out).x.span, .y = out.Result(0)},
                      parameters, {GroupsFor(rows, 1), 1, 1});
}

absl::Status LowerMeanPool(Lowering& out) {
  const auto in = As<MeanPoolCall>(out);
  const Shape& x = in.x.shape();
  const Shape& y = out.node().result()->type().shape;
  return out.Dispatch("mean_pool",
                      mean_pool::Bindings{.x = in.x.span,
                                          .seq_ids = in.seq_ids.span,
                                          .lens = in.lens.span,
                                          .y = out.Result(0),
                                          .errors = out.ErrorSlot()},
                      mean_pool::Parameters{.tokens = out.Elements({x[0]}),
                                            .seqs = out.Elements({y[0]}),
                                            .columns = out.Elements({y[1]})},
                      {GroupsFor(out.Bound(CountOf(out)), mean_pool::INVOCATIONS), 1, 1});
}

}  // namespace

absl::Status AddElementwise(const ElementwiseCall& call, Lowering& out) {
  return out.Dispatch(
      "elementwise", elementwise::Constants{.OP = static_cast<uint32_t>(call.op)},
      elementwise::Bindings{.a = call.a, .b = call.b, .y = call.y},
      elementwise::Parameters{.count = call.count, .period = call.period, .factor = call.factor},
      {GroupsFor(out.Bound(call.count), elementwise::INVOCATIONS), 1, 1});
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
