// What a graph will take of memory, by class, as it is planned: exact, and known without running
// it.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "backends/kernel.h"
#include "graph/graph.h"

namespace sluice {

// Bytes at the symbols' bounds, of all devices together.
struct MemoryPlan {
  int64_t weights = 0;      // as stored in the file, used in place
  int64_t packed = 0;       // weights in another layout, in memory of their own
  int64_t states = 0;       // the KV cache
  int64_t constants = 0;    // results of nodes that run once
  int64_t arena = 0;        // activations and the kernels' scratch memory, as placed
  int64_t activations = 0;  // the most that activations alone fill at one time
  int64_t scratch = 0;      // the largest scratch memory of one kernel; in the arena
  int64_t lower_bound = 0;  // of the arena: the most that lives at one time
};

// Of a graph that has been through plan_memory: before that, constants, arena and scratch are 0.
// `kernels` know the sizes of layouts; they may be nullptr where no weight has one.
absl::StatusOr<MemoryPlan> MemoryPlanOf(const Graph& graph, const KernelSet* kernels = nullptr);

}  // namespace sluice
