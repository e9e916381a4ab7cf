// What a graph on several devices moves between them in a step, and what each of them holds.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backends/kernel.h"
#include "graph/graph.h"
#include "passes/memory_plan.h"

namespace sluice {

struct DeviceUse {
  std::string device;
  int64_t nodes = 0;
  int64_t parts = 0;  // of a step: how often the device gets work to do
  MemoryPlan memory;  // what it holds
};

struct DirectionUse {
  std::string from, to;
  int64_t copies = 0, bytes = 0;
};

// Of a step of `tokens` tokens.
struct StepPlacement {
  int64_t tokens = 0;
  std::vector<DeviceUse> devices;
  std::vector<DirectionUse> directions;
};

// At the symbols' bounds. Nothing of a graph without devices. `kernels` as for MemoryPlanOf.
absl::StatusOr<StepPlacement> PlacementOf(const Graph& graph, int64_t tokens,
                                          const KernelSet* kernels);

// Of steps of several sizes, by rising number of tokens. "" and an empty list without devices.
std::string PlacementText(const std::vector<StepPlacement>& steps);
nlohmann::ordered_json PlacementJson(const std::vector<StepPlacement>& steps);

}  // namespace sluice
