// What a step has a device do, where the backend hands it whole steps: how often it starts work,
// and how often it waits for work to be done.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "backends/backend.h"

namespace sluice {

struct NodeWork {
  std::string op, kernel;  // of inputs and outputs: "", ""
  int64_t dispatches = 0, copies = 0, barriers = 0;
  bool operator==(const NodeWork&) const = default;
};

// Layers that have the same work, node by node.
struct LayerWork {
  std::vector<int> layers;  // empty: what belongs to no layer
  std::vector<NodeWork> nodes;
  NodeWork Sum() const;  // of one of the layers
};

struct StepSchedule {
  NodeWork total;
  std::vector<LayerWork> kinds;  // by the first of their layers; what belongs to none comes last
};
StepSchedule ScheduleByLayer(absl::Span<const StepWork> work);

// "0-2, 5"; "none" if there are none.
std::string LayersText(absl::Span<const int> layers);

}  // namespace sluice
