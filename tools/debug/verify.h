// Comparisons of whole models and of single graphs, node by node: what `sluice verify` does.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "backends/backend.h"
#include "graph/graph.h"
#include "graph/weights.h"
#include "tools/debug/compare.h"

namespace sluice {

// One step on one side, against the same step on the other.
struct StepComparison {
  std::string step;  // "the prompt, 8 tokens", "after fuse_qkv"
  Comparison comparison;
  Graph graph;  // as built, with the step's actual sizes as bounds; set where there is a fault
};

// What is run, and on what it is compared.
struct DecoderSetup {
  const Graph& graph;  // a decoder or an encoder as built (graph/decoder_interface.h)
  const WeightTable& weights;
  absl::Span<const int32_t> tokens;  // at least 2
  // What weights in layouts of their own may take. Where there are any, the expected side gets a
  // graph whose weights have the same layouts: a reference that rounds activations
  // (RefOptions::round_activations) does so where the other side does.
  int64_t prepack_bytes = 0;
};

// Runs all tokens but the last as one step and the last as another, an encoder all in one step, on
// both backends, and stops after the first step with a fault. `expected` runs the graph as built,
// without any pass, if it needs none; null: only NaN and Inf are looked for. Errors: what compiling
// or running returns.
absl::StatusOr<std::vector<StepComparison>> CompareBackends(const DecoderSetup& setup,
                                                            Backend* expected, Backend& got,
                                                            const CompareOptions& options);

// Runs the graph on the reference as built and after each pass of the pipeline for `target` that
// changes what is computed, in the same steps. Stops after the first pass with a fault.
absl::StatusOr<std::vector<StepComparison>> ComparePasses(const DecoderSetup& setup,
                                                          const Backend& target,
                                                          const CompareOptions& options);

// A graph at any stage of compilation, on random data with symbols at their bounds: one step.
struct GraphSetup {
  const Graph& graph;
  uint64_t seed = 1;  // of the data
  // The kernels, layouts and places that the graph has, without any pass, if they obey the rules of
  // compiled graphs (VerifyPlan). Else the pipeline runs, keeps to the kernels that the graph
  // names, and plans its memory anew.
  bool as_is = false;
};

// The same two for such a graph. An `expected` that is no reference compiles it for itself.
absl::StatusOr<std::vector<StepComparison>> CompareBackends(const GraphSetup& setup,
                                                            Backend* expected, Backend& got,
                                                            const CompareOptions& options);
absl::StatusOr<std::vector<StepComparison>> ComparePasses(const GraphSetup& setup,
                                                          const Backend& target,
                                                          const CompareOptions& options);

// What to tell people before the plan of a graph from a file is made anew for `target`: one line,
// which says what rule the old one breaks, if any. "" if there is no place in memory in it.
std::string NoteOnPlan(const Graph& graph, const Backend& target);

// Their sum. Without any value seen, sides do not agree, whatever else holds.
int64_t ValuesSeen(absl::Span<const StepComparison> steps);

// The first fault; nullptr if the two sides agree.
const StepComparison* FirstFault(absl::Span<const StepComparison> steps);

}  // namespace sluice
