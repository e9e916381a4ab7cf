// Rewriting by patterns: where one piece of graph text stands, another takes its place.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/graph.h"
#include "passes/match.h"
#include "passes/pass.h"

namespace sluice {

// All three are patterns (graph/pattern.h).
struct Rewrite {
  std::string before;
  // Lines that must be there, too, and stay as they are: they say how the others belong together.
  std::string beside = {};
  // Its free values are values of `before`. A result that `before` also defines is the same value:
  // its users elsewhere go on with the new one. %h' is another value than %h, named after it
  // (l0.h.2), so that a name means one value at every stage. Every other value of `before` must
  // have no user elsewhere and be no output.
  std::string after;
  // What else must hold: empty, or why the match is refused.
  std::string (*refuse)(const Match& match, const Graph& graph,
                        const CompileContext& context) = nullptr;
};

// From what a fused op stands for to the op.
Rewrite FusionOf(const OpDef& fused, std::string beside = "");

// Rewrites every place that fits, one rewrite after the other, each in execution order; `pass` is
// recorded as the new nodes' origin. Of every place that was nearly rewritten (at least two lines
// were found) the context is told why not:
// - an operation, attribute or operand differs from the pattern;
// - a value that would go is used elsewhere or is an output of the graph;
// - an operand is computed only after a result is used, or a state would be read or updated out of
//   turn;
// - some of the nodes run once, others in every step, or they are on different devices.
// Errors: a malformed rewrite, which is a bug of the pass.
absl::StatusOr<bool> ApplyRewrites(Graph& graph, const CompileContext& context,
                                   absl::Span<const Rewrite> rewrites, absl::string_view pass);

}  // namespace sluice
