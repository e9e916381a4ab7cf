// Which values need memory, for how long, and which of them can share it: the facts from which
// plan_memory makes a plan and tools judge one.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "graph/graph.h"

namespace sluice {

// A piece of memory and what is in it, one after the other: a result, the views of it, and results
// that take its place (ResultDef::in_place). Or the working memory of one node's kernel.
struct Storage {
  std::vector<Value*> values;  // empty: scratch
  Node* scratch_of = nullptr;
  absl::string_view device;     // of the nodes that write it
  int64_t bytes = 0;            // at the symbols' bounds
  int64_t first = 0, last = 0;  // lifetime: positions of nodes, both included
  bool is_constant = false;     // of a node that runs once: kept from run to run
  int64_t offset = 0;           // for the planner
};

// Every storage that a run needs, in order of birth, and the constants. Inputs, weights and states
// have places of their own, and so have views of them. Outputs live to the end. `scratch` has the
// bytes that each node's kernel wants, by position.
absl::StatusOr<std::vector<Storage>> CollectStorage(const Graph& graph,
                                                    const std::vector<int64_t>& scratch);

// What no plan can do without: the largest sum of what lives at one time, constants excluded. Of
// several devices, the sum of theirs.
int64_t LowerBound(const std::vector<Storage>& storage);

}  // namespace sluice
