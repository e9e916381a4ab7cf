// Makes a failing graph small while it goes on failing.
//
// Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input",
// 2002) over the structure of a graph instead of the characters of a text: each step builds a
// smaller graph, a valid one, and keeps it if it fails, too.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "graph/graph.h"

namespace sluice {

// Whether the graph fails in the way that is looked for. Called with valid graphs only.
using FailsOn = std::function<bool(const Graph& graph)>;

struct ReduceOptions {
  // A value that is known to be wrong ("%l0.q"): its node is tried as the last one first.
  std::string suspect;
  int64_t max_attempts = 2000;
  // Sees the number of attempts and the smallest graph so far.
  std::function<void(int64_t attempts, const Graph& smallest)> progress = {};
};

// The steps, in turn until none helps:
// - an end: one node's results are all that is wanted, and what they do not need goes;
// - cuts: results become fresh inputs (states if they are states, weights if they are made once);
// - bypasses: a result's users take an operand of the same type instead;
// - optional operands and operands of a variadic op are left out;
// - symbols get smaller bounds.
// Kernels and places in memory stay as they are where their nodes do. InvalidArgument if `graph`
// itself does not fail.
absl::StatusOr<Graph> Reduce(const Graph& graph, const FailsOn& fails,
                             const ReduceOptions& options);

}  // namespace sluice
