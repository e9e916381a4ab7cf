#include "tools/profile/cost.h"

#include <algorithm>

#include "absl/container/inlined_vector.h"
#include "graph/decoder_interface.h"
#include "graph/evaluate.h"
#include "graph/ops/shape_check.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

using Views = absl::InlinedVector<TensorView, 6>;

absl::StatusOr<Views> OperandViews(const Node& node, const SymbolValues& symbols) {
  Views views;
  for (const Value* operand : node.operands()) {
    views.emplace_back();
    if (operand == nullptr) continue;
    SLUICE_ASSIGN_OR_RETURN(views.back(), ViewOf(operand->type(), symbols));
  }
  return views;
}

absl::StatusOr<Views> ResultViews(const Node& node, const SymbolValues& symbols) {
  Views views;
  for (const auto& result : node.results()) {
    views.emplace_back();
    SLUICE_ASSIGN_OR_RETURN(views.back(), ViewOf(result->type(), symbols));
  }
  return views;
}

OpCost CostOfViews(const Node& node, absl::Span<const TensorView> operands,
                   absl::Span<const TensorView> results, int64_t context) {
  if (node.op().is_view) return {};
  const auto types = node.OperandTypes();
  const OpCall call{.op = node.op(), .operands = types, .attrs = node.attrs()};
  const CostContext sizes{
      .call = call, .operands = operands, .results = results, .context = context};
  return node.op().cost != nullptr ? node.op().cost(sizes) : StreamingCost(sizes, 0);
}

// Weights, and what nodes that run once have made of them.
bool IsConstant(const Value& value) {
  return value.kind() == Value::Kind::kWeight ||
         (value.producer() != nullptr && value.producer()->once());
}

// What of `cost` is due to weights: an op says how much it reads of them all together, and reads
// its other operands whole. States beside weights are only written.
double WeightBytes(const Node& node, const OpCost& cost, absl::Span<const TensorView> operands) {
  double bytes = cost.bytes_read;
  bool has_weight = false;
  for (size_t i = 0; i < operands.size(); ++i) {
    const Value* operand = node.operand(i);
    if (operand == nullptr) continue;
    if (IsConstant(*operand)) {
      has_weight = true;
    } else if (!operand->type().is_state) {
      bytes -= static_cast<double>(operands[i].bytes());
    }
  }
  return has_weight ? std::max(bytes, 0.0) : 0;
}

}  // namespace

OpCost operator+(const OpCost& a, const OpCost& b) {
  return {.flops = a.flops + b.flops,
          .bytes_read = a.bytes_read + b.bytes_read,
          .bytes_written = a.bytes_written + b.bytes_written};
}

SymbolValues SymbolsOf(const Graph& graph, const StepSize& size) {
  const AttrValue* attr = graph.attrs().Find("block_size");
  const int64_t* block = attr != nullptr ? std::get_if<int64_t>(attr) : nullptr;
  const int64_t block_size = block != nullptr ? *block : 1;
  SymbolValues symbols = graph.Bounds();
  symbols.Set(decoder::kTokens, size.tokens);
  symbols.Set(decoder::kOutputs, size.outputs);
  symbols.Set(decoder::kSeqs, 1);
  symbols.Set(decoder::kTable, std::max<int64_t>(1, (size.length + block_size - 1) / block_size));
  return symbols;
}

absl::StatusOr<OpCost> CostOf(const Node& node, const SymbolValues& symbols, int64_t context) {
  SLUICE_ASSIGN_OR_RETURN(const Views operands, OperandViews(node, symbols));
  SLUICE_ASSIGN_OR_RETURN(const Views results, ResultViews(node, symbols));
  return CostOfViews(node, operands, results, context);
}

Arithmetic ArithmeticOf(const Node& node, const KernelSet* kernels) {
  const Kernel* kernel = kernels != nullptr ? kernels->Find(node.kernel()) : nullptr;
  return kernel != nullptr && !kernel->layout.empty() ? Arithmetic::kInt8 : Arithmetic::kF32;
}

absl::StatusOr<StepCost> CostOfStep(const Graph& graph, const StepSize& size,
                                    const KernelSet* kernels) {
  const SymbolValues symbols = SymbolsOf(graph, size);
  StepCost step;
  for (const auto& node : graph.nodes()) {
    if (node->once()) continue;
    SLUICE_ASSIGN_OR_RETURN(const Views operands, OperandViews(*node, symbols));
    SLUICE_ASSIGN_OR_RETURN(const Views results, ResultViews(*node, symbols));
    const OpCost cost = CostOfViews(*node, operands, results, size.context());
    step.total = step.total + cost;
    step.flops[static_cast<size_t>(ArithmeticOf(*node, kernels))] += cost.flops;
    OpCost& part = step.parts[static_cast<size_t>(PartOf(*node))];
    part = part + cost;
    step.weight_bytes += WeightBytes(*node, cost, operands);
  }
  return step;
}

}  // namespace sluice
