#include "tools/debug/input_ranges.h"

#include <algorithm>
#include <utility>

#include "graph/ops/shape_check.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

// What floats above 0 are chosen from.
constexpr ValueRange kPositive = {.low = 1, .high = 2};

// What both ask for. Ranges of indices begin at 0, so that they always meet.
ValueRange Meet(const ValueRange& a, const ValueRange& b) {
  return {.low = std::max(a.low, b.low),
          .high = std::min(a.high, b.high),
          .order = std::max(a.order, b.order)};
}

class Collector {
 public:
  explicit Collector(const SymbolValues& symbols) : symbols_(symbols) {}

  absl::Status Visit(const Graph& graph) {
    for (const auto& node : graph.nodes()) SLUICE_RETURN_IF_ERROR(VisitNode(*node));
    return absl::OkStatus();
  }

  ValueRanges ranges;

 private:
  void Add(const Value* value, const ValueRange& range) {
    while (value->producer() != nullptr && value->producer()->op().is_view) {
      value = value->producer()->source();
    }
    if (value->producer() != nullptr) return;
    const auto [it, is_new] = ranges.emplace(value->name(), range);
    if (!is_new) it->second = Meet(it->second, range);
  }

  absl::Status VisitNode(const Node& node) {
    const auto types = node.OperandTypes();
    const OpCall call{node.op(), types, node.attrs()};
    std::vector<TensorView> views;
    for (const TensorType* type : types) {
      views.emplace_back();
      if (type == nullptr) continue;
      SLUICE_ASSIGN_OR_RETURN(views.back().dims, symbols_.Evaluate(type->shape));
    }
    for (size_t i = 0; i < std::min(types.size(), node.op().operands.size()); ++i) {
      const OperandDef& operand = node.op().operands[i];
      if (node.operand(i) == nullptr) continue;
      if (operand.positive) Add(node.operand(i), kPositive);
      if (operand.derived) Add(node.operand(i), {.low = 0, .high = 0});  // without effect
      if (!operand.holds_indices()) continue;
      const int64_t limit = IndexLimit(call, views, i, symbols_);
      Add(node.operand(i),
          {.low = 0, .high = operand.or_equal ? limit : limit - 1, .order = operand.order});
    }
    return absl::OkStatus();
  }

  const SymbolValues& symbols_;
};

}  // namespace

absl::StatusOr<ValueRanges> RangesFor(const Graph& graph, const SymbolValues& symbols) {
  Collector collector(symbols);
  SLUICE_RETURN_IF_ERROR(collector.Visit(graph));
  return std::move(collector.ranges);
}

}  // namespace sluice
