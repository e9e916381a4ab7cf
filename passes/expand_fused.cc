// expand_fused: a fused op that no kernel of the target accepts becomes what it stands for
// (OpDef::expands_to), so that a graph which has been fused for one target runs on every other.
//
//   before   %p, %id = router_topk(%x, @gate_inp) {k=8} : f32[tokens,8], i32[tokens,8]
//   after    %p.logits = matmul(%x, @gate_inp) : f32[tokens,128]
//            %p, %id = topk_softmax(%p.logits) {k=8} : f32[tokens,8], i32[tokens,8]
//
// Fused ops of an expansion are expanded in turn, if they must be. Not for a target without a
// kernel list, which runs ops as they are, and not where a node asks for a kernel by name.
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "graph/evaluate.h"
#include "graph/status_macros.h"
#include "passes/kernel_choice.h"
#include "passes/passes.h"

namespace sluice {
namespace {

bool MustExpand(const Node& node, const SymbolValues& bounds, const CompileContext& context) {
  if (node.op().expands_to.empty() || !node.kernel().empty()) return false;
  const Target target = TargetOf(node.device(), context);
  return target.kernels != nullptr && Cheapest(KernelChoices(node, bounds, target)) == nullptr;
}

// Puts a node's expansion in its place. Results keep their names; what is between them and the
// operands is named after the node.
class Expander {
 public:
  Expander(Graph& graph, Node* node) : graph_(graph), node_(node) {}

  // The new nodes, in order.
  absl::StatusOr<std::vector<Node*>> Run() {
    const auto types = node_->OperandTypes();
    SLUICE_ASSIGN_OR_RETURN(const Graph expansion,
                            Expand(OpCall{node_->op(), types, node_->attrs()}, graph_.registry()));
    for (size_t i = 0; i < node_->operands().size(); ++i) {
      if (node_->operand(i) == nullptr) continue;
      values_[expansion.Find(absl::StrCat("%", node_->op().operands[i].name))] = node_->operand(i);
    }
    TakeNames();
    std::vector<Node*> added;
    for (const auto& inner : expansion.nodes()) {
      SLUICE_ASSIGN_OR_RETURN(added.emplace_back(), Add(*inner));
    }
    for (size_t i = 0; i < node_->results().size(); ++i) {
      const Value* inner = expansion.Find(absl::StrCat("%", node_->op().results[i].name));
      graph_.ReplaceUses(node_->result(i), values_.at(inner));
    }
    graph_.EraseAll({node_});
    return added;
  }

 private:
  void TakeNames() {
    stem_ = node_->name();
    for (size_t i = 0; i < node_->results().size(); ++i) {
      Value* result = node_->result(i);
      names_[node_->op().results[i].name] = result->name();
      graph_.Rename(result, graph_.UniqueName(absl::StrCat(result->name(), ".old")));
    }
  }

  absl::StatusOr<Node*> Add(const Node& inner) {
    NodeSpec spec{.op = inner.op().name, .attrs = inner.attrs(), .before = node_};
    for (const Value* operand : inner.operands()) {
      spec.operands.push_back(operand == nullptr ? nullptr : values_.at(operand));
    }
    for (const auto& result : inner.results()) {
      const auto name = names_.find(result->name());
      spec.names.push_back(name != names_.end()
                               ? name->second
                               : graph_.UniqueName(absl::StrCat(stem_, ".", result->name())));
    }
    SLUICE_ASSIGN_OR_RETURN(Node* const node, graph_.Add(std::move(spec)));
    node->set_origin("expand_fused");
    node->Accompany(*node_);
    for (size_t i = 0; i < inner.results().size(); ++i) {
      values_[inner.result(i)] = node->result(i);
    }
    return node;
  }

  Graph& graph_;
  Node* node_;
  std::string stem_;                                     // of new names
  absl::flat_hash_map<std::string, std::string> names_;  // of results, by name in the expansion
  absl::flat_hash_map<const Value*, Value*> values_;     // by value of the expansion
};

}  // namespace

absl::StatusOr<bool> ExpandFused(Graph& graph, const CompileContext& context) {
  if (context.kernels == nullptr) return false;
  const SymbolValues bounds = graph.Bounds();
  std::vector<Node*> fused;
  for (const auto& node : graph.nodes()) {
    if (MustExpand(*node, bounds, context)) fused.push_back(node.get());
  }
  const bool changed = !fused.empty();
  while (!fused.empty()) {
    Node* const node = fused.back();
    fused.pop_back();
    SLUICE_ASSIGN_OR_RETURN(const std::vector<Node*> added, Expander(graph, node).Run());
    for (Node* inner : added) {
      if (MustExpand(*inner, bounds, context)) fused.push_back(inner);
    }
  }
  return changed;
}

}  // namespace sluice
