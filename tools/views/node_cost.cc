#include "tools/views/node_cost.h"

#include "tools/profile/cost.h"

namespace sluice {

OpCost CostAtBounds(const Node& node, const Graph& graph) {
  const AttrValue* context = graph.attrs().Find("context");
  const auto* tokens = context != nullptr ? std::get_if<int64_t>(context) : nullptr;
  const absl::StatusOr<OpCost> cost = CostOf(node, graph.Bounds(), tokens != nullptr ? *tokens : 0);
  return cost.ok() ? *cost : OpCost{};  // every symbol of a verified graph has a bound
}

}  // namespace sluice
