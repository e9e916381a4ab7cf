// What a node does at the largest sizes that its graph is compiled for.
#pragma once

#include "graph/graph.h"
#include "graph/op_def.h"

namespace sluice {

// Flops and bytes with every symbol at its bound and, for attention, a full context (the graph's
// attribute "context"; 0 without it). Nothing for a view.
OpCost CostAtBounds(const Node& node, const Graph& graph);

}  // namespace sluice
