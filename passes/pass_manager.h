// Runs passes in order: verifies, times, limits and reports.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "graph/graph.h"
#include "passes/pass.h"

namespace sluice {

struct PassOptions {
  bool verify = true;                   // the graph after every pass, and each `changed` report
  int limit = -1;                       // run only the first N passes; -1: all
  std::vector<std::string> disabled;    // names of passes to leave out
  std::string start_at;                 // begin the pipeline at this pass; empty: with the first
  std::string stop_before, stop_after;  // end the pipeline at this pass; empty: run it all
  // Upper bounds of symbols that the graph is compiled for (CompileContext::bucket).
  SymbolValues bucket = {};
  // Where prepack_weights keeps account (CompileContext::packs).
  PackPlan* packs = nullptr;
  // What add_lora adds (CompileContext::updates); outlives the passes.
  absl::Span<const LowRankUpdate> updates = {};
  // Receives from each pass why it left alone what it nearly would have changed.
  std::function<void(absl::string_view pass, const std::string& what)> explain = {};
  // Sees the graph before the first pass (as "build") and after each one.
  std::function<void(absl::string_view pass, const Graph& graph)> after_each = {};
};

struct PassReport {
  std::string name;
  bool changed = false;
  double seconds = 0;
  size_t nodes_before = 0;
  size_t nodes_after = 0;
};

// The order of passes must fit the graph: what a pass needs is there, and a stage that an earlier
// pass or the graph has reached is reached in the end, too, whatever undoes it in between. A pass
// before plan_memory takes away the places that a graph has: they are another graph's. Kernels that
// it names stay where the nodes do, and select_kernels keeps to them.
//
// Errors: a pass name in `options` that is not in `passes` (the message lists them), an order that
// does not fit (it names both passes, and the right order), or what a pass or the verifier found,
// with the pass named.
absl::Status RunPasses(absl::Span<const Pass> passes, const CompileContext& context,
                       const PassOptions& options, Graph* graph,
                       std::vector<PassReport>* report = nullptr);

// The stage of a graph: with a place in memory it is planned, and with a kernel for every node that
// needs one its kernels are chosen.
Stage StageOf(const Graph& graph, const CompileContext& context);

// A hash of what passes change: nodes, outputs, bounds, layouts. Much cheaper than printing.
uint64_t Fingerprint(const Graph& graph);

}  // namespace sluice
