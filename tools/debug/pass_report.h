// What each pass of the pipeline makes of a graph, as a table.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "graph/graph.h"
#include "passes/pass_manager.h"

namespace sluice {

struct PassEffect {
  std::string pass;
  size_t nodes_before = 0, nodes_after = 0;
  bool changed = false;
  double seconds = 0;  // of the pass alone, without verification
  // Ops whose count changed, "-48 silu, +48 expert_glu"; "" if none did.
  std::string ops;
};

// Runs the pipeline over the graph and notes what every pass did.
absl::StatusOr<std::vector<PassEffect>> RunAndReport(const CompileContext& context,
                                                     PassOptions options, Graph* graph);

// docs/passes.md for that graph, without times: equal from run to run and machine to machine.
std::string PassesPage(absl::string_view model, const std::vector<PassEffect>& effects);

}  // namespace sluice
