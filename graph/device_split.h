// A graph on several devices as one graph for each, for backends that know of one device only.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "graph/graph.h"

namespace sluice {

// The nodes of one device, with their annotations, in their order. What comes from another device
// is an input of that name, which only transfers read (OpDef::is_transfer); what another device
// reads is an output.
struct DeviceGraph {
  std::string device;
  Graph graph;
  std::vector<size_t> inputs;  // indices in the whole graph's; these come first in graph.inputs()
  std::vector<size_t> states;  // indices in the whole graph's
};

// An output of one device's graph that is an input of another's.
struct DeviceTransfer {
  size_t from, output;  // index in DeviceSplit::graphs, and in that graph's outputs
  size_t to, input;
};

// Nodes of one device that follow each other in the whole graph.
struct DevicePart {
  size_t device;                          // index in DeviceSplit::graphs
  NodeRange nodes;                        // of that graph
  std::vector<DeviceTransfer> transfers;  // what they need first
};

struct DeviceSplit {
  std::vector<DeviceGraph> graphs;                 // in the order of their first nodes
  std::vector<DevicePart> parts;                   // a step, in order
  std::vector<std::pair<size_t, size_t>> outputs;  // the whole graph's: graph, output there
};

// `graph` obeys the verifier's rules. Memory that is planned for outputs may be taken again after
// the part that reads them.
absl::StatusOr<DeviceSplit> SplitByDevice(const Graph& graph);

}  // namespace sluice
