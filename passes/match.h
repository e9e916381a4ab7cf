// Matching a fused op's expansion against a graph, and replacing a match by the op.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "graph/graph.h"
#include "graph/pattern.h"
#include "passes/pass.h"

namespace sluice {

// A place where a fused op could stand.
struct Match {
  std::vector<Node*> nodes;                         // one per line of the pattern
  absl::flat_hash_map<std::string, Value*> values;  // by name in the pattern; nullptr: left out
  Attributes captures;
};

// Matches `pattern`, the expansion of `fused`, with `root` as its last line. Returns an empty
// string and fills `match`, or says why not:
// - an operation, attribute or operand differs from the pattern;
// - an inner value is used outside of the match or is an output of the graph.
// Commutative ops match with their first two operands in either order.
std::string MatchAt(const Pattern& pattern, const OpDef& fused, const Graph& graph, Node* root,
                    Match* match);

// Replaces every match of the expansion of the op `fused` by that op. The new node takes the place
// and the result names of the match's last node; `pass` is recorded as its origin. Refused near
// misses (at least two nodes fit) are explained to the context.
absl::StatusOr<bool> FuseByExpansion(Graph& graph, const CompileContext& context,
                                     absl::string_view fused, absl::string_view pass);

}  // namespace sluice
