#include "tools/views/node_cost.h"

#include <vector>

#include "graph/evaluate.h"

namespace sluice {
namespace {

// Absent operands are views without dimensions.
TensorView ViewAt(const TensorType* type, const SymbolValues& bounds) {
  TensorView view;
  if (type == nullptr) return view;
  if (absl::StatusOr<TensorView> known = ViewOf(*type, bounds); known.ok()) view = *known;
  return view;
}

double Bytes(absl::Span<const TensorView> views, absl::Span<const TensorType* const> types) {
  double sum = 0;
  for (size_t i = 0; i < views.size(); ++i) {
    if (types[i] != nullptr) sum += static_cast<double>(views[i].bytes());
  }
  return sum;
}

}  // namespace

OpCost CostAtBounds(const Node& node, const Graph& graph) {
  if (node.op().is_view) return {};
  const SymbolValues bounds = graph.Bounds();
  const auto operand_types = node.OperandTypes();
  std::vector<const TensorType*> result_types;
  for (const auto& result : node.results()) result_types.push_back(&result->type());
  std::vector<TensorView> operands, results;
  for (const TensorType* type : operand_types) operands.push_back(ViewAt(type, bounds));
  for (const TensorType* type : result_types) results.push_back(ViewAt(type, bounds));
  if (node.op().cost == nullptr) {
    return {.bytes_read = Bytes(operands, operand_types),
            .bytes_written = Bytes(results, result_types)};
  }
  const AttrValue* context = graph.attrs().Find("context");
  const auto* tokens = context != nullptr ? std::get_if<int64_t>(context) : nullptr;
  const OpCall call{.op = node.op(), .operands = operand_types, .attrs = node.attrs()};
  return node.op().cost({.call = call,
                         .operands = operands,
                         .results = results,
                         .context = tokens != nullptr ? *tokens : 0});
}

}  // namespace sluice
