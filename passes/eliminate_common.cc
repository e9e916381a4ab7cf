// eliminate_common: of several nodes with the same op, attributes and operands, the first stays.
//
//   before   %a = silu(%x) : ...        after   %a = silu(%x) : ...
//            %b = silu(%x) : ...                %y = mul(%a, %a) : ...
//            %y = mul(%a, %b) : ...
//
// Precondition: none. Nodes that update a state in place stay: each update counts.
#include <algorithm>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "passes/passes.h"

namespace sluice {
namespace {

std::string Key(const Node& node) {
  std::string key = absl::StrCat(node.op().name, node.attrs().ToString(),
                                 node.once() ? " once" : "", "@", node.device());
  for (const Value* operand : node.operands()) {
    absl::StrAppend(&key, "|", operand != nullptr ? operand->ref() : "_");
  }
  return key;
}

}  // namespace

absl::StatusOr<bool> EliminateCommon(Graph& graph, const CompileContext&) {
  absl::flat_hash_map<std::string, Node*> first;
  std::vector<Node*> doomed;
  for (const auto& node : graph.nodes()) {
    if (node->op().UpdatesState()) continue;
    auto [it, is_new] = first.try_emplace(Key(*node), node.get());
    if (is_new) continue;
    // Two outputs of the same value would be one output; the names matter to the caller.
    if (std::any_of(node->results().begin(), node->results().end(),
                    [&](const auto& r) { return graph.IsOutput(r.get()); })) {
      continue;
    }
    for (size_t i = 0; i < node->results().size(); ++i) {
      graph.ReplaceUses(node->result(i), it->second->result(i));
    }
    doomed.push_back(node.get());
  }
  graph.EraseAll(doomed);
  return !doomed.empty();
}

}  // namespace sluice
