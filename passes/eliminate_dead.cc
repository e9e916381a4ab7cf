// eliminate_dead: removes nodes whose results nobody uses, then weights and unchanged states that
// nobody uses any more, so that nothing is read for them.
//
//   before   %a = silu(%x) : ...        after   %b = silu(%x) : ...
//            %b = silu(%x) : ...                output %b
//            output %b
//
// Kept although unused: graph inputs (they are the interface to the runtime) and nodes that update
// a state in place (the update is their effect).
#include "passes/passes.h"

namespace sluice {
namespace {

bool IsDead(const Graph& graph, const Node& node) {
  if (node.op().UpdatesState()) return false;
  for (const auto& result : node.results()) {
    if (!result->uses().empty() || graph.IsOutput(result.get())) return false;
  }
  return true;
}

std::vector<Value*> Unused(absl::Span<const std::unique_ptr<Value>> values) {
  std::vector<Value*> unused;
  for (const auto& value : values) {
    if (value->uses().empty()) unused.push_back(value.get());
  }
  return unused;
}

}  // namespace

absl::StatusOr<bool> EliminateDead(Graph& graph, const CompileContext&) {
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  bool changed = false;
  // Backwards, so that a chain of dead nodes goes in one sweep.
  for (auto it = nodes.rbegin(); it != nodes.rend(); ++it) {
    if (!IsDead(graph, **it)) continue;
    graph.Erase(*it);
    changed = true;
  }
  for (Value* weight : Unused(graph.weights())) {
    graph.EraseWeight(weight);
    changed = true;
  }
  for (Value* state : Unused(graph.states())) {
    graph.EraseState(state);
    changed = true;
  }
  return changed;
}

}  // namespace sluice
