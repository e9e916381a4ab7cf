// A graph in the DOT language of Graphviz.
#pragma once

#include <string>

#include "graph/graph.h"

namespace sluice {

// A cluster per layer; weights, and inputs that many nodes read, in the labels of their nodes;
// states as cylinders; fused nodes coloured, views dashed, nodes that run once double-lined. An
// edge says the type of its value, once per value. Node ids are references as in graph text.
std::string ToDot(const Graph& graph);

}  // namespace sluice
