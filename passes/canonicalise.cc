// canonicalise: one spelling for everything that can be written in several ways, so that each
// later pass needs one pattern. The rules, each where its precondition holds:
//
//   operands of a commutative op     the one defined first comes first; weights come last
//   scale(%x) {factor=1.0}           %x
//   reshape(%x) to its own shape     %x           cast(%x) to its own dtype   %x
//   slice(%x) of the whole           %x           concat(%x) of one           %x
//   reshape(reshape(%x))             reshape(%x)
//   add(matmul(%x, @w), @b)          matmul(%x, @w, @b)   if the product has no other user
//
// Not where the node that would go is an output of the graph: its name belongs to the caller.
#include <algorithm>

#include "graph/ops/elementwise.h"
#include "graph/ops/linear.h"
#include "graph/status_macros.h"
#include "passes/passes.h"

namespace sluice {
namespace {

constexpr absl::string_view kName = "canonicalise";

// Whether `a` stands before `b` among operands: what is defined first does, weights stand last.
bool ComesFirst(const Graph& graph, const Value* a, const Value* b) {
  const bool weight_a = a->kind() == Value::Kind::kWeight;
  const bool weight_b = b->kind() == Value::Kind::kWeight;
  if (weight_a != weight_b) return weight_b;
  if (a->producer() == nullptr || b->producer() == nullptr) {
    return a->producer() == nullptr && b->producer() != nullptr;
  }
  if (a->producer() == b->producer()) return a->result_index() < b->result_index();
  return graph.IsBefore(a->producer(), b->producer());
}

bool OrderOperands(Graph& graph, Node* node) {
  if (!node->op().is_commutative) return false;
  const auto [a, b] = As<BinaryCall>(*node);
  // Only equal types may be exchanged: the second operand may be broadcast, the first may not.
  if (!(a->type() == b->type()) || a == b || !ComesFirst(graph, b, a)) return false;
  graph.SetOperand(node, kOperand<BinaryCall>.a, b);
  graph.SetOperand(node, kOperand<BinaryCall>.b, a);
  return true;
}

bool IsIdentity(const Node& node) {
  const std::string& op = node.op().name;
  if (op == "scale") return std::get<double>(*node.attrs().Find("factor")) == 1.0;
  if (op == "concat") return node.operands().size() == 1;
  if (op == "reshape" || op == "cast" || op == "slice") {
    return As<UnaryCall>(node).x->type() == node.result()->type();
  }
  return false;
}

// At once and not at the end: a node that is gone must not count as a user.
void EraseIfUnused(Graph& graph, Node* node) {
  if (node->result()->uses().empty() && !graph.IsOutput(node->result())) graph.Erase(node);
}

bool DropIdentity(Graph& graph, Node* node) {
  if (!IsIdentity(*node) || graph.IsOutput(node->result())) return false;
  graph.ReplaceUses(node->result(), As<UnaryCall>(*node).x);
  graph.Erase(node);
  return true;
}

bool MergeReshapes(Graph& graph, Node* node) {
  if (node->op().name != "reshape") return false;
  Node* inner = node->source()->producer();
  if (inner == nullptr || inner->op().name != "reshape") return false;
  graph.SetOperand(node, kOperand<UnaryCall>.x, inner->source());
  EraseIfUnused(graph, inner);
  return true;
}

absl::StatusOr<bool> FoldBias(Graph& graph, Node* node) {
  if (node->op().name != "add" || graph.IsOutput(node->result())) return false;
  const auto [product, bias] = As<BinaryCall>(*node);
  Node* matmul = product->producer();
  if (bias->kind() != Value::Kind::kWeight || bias->type().rank() != 1 || matmul == nullptr ||
      matmul->op().name != "matmul" || As<MatmulCall>(*matmul).bias != nullptr ||
      product->uses().size() != 1 || graph.IsOutput(product)) {
    return false;
  }
  const auto in = As<MatmulCall>(*matmul);
  const std::string name = node->result()->name();
  graph.Rename(node->result(), graph.UniqueName(name + ".old"));
  NodeSpec spec{
      .op = "matmul", .operands = {in.x, in.weight, bias}, .names = {name}, .before = node};
  SLUICE_ASSIGN_OR_RETURN(Node * fused, graph.Add(std::move(spec)));
  fused->Accompany(*node);
  fused->set_origin(std::string(kName));
  graph.ReplaceUses(node->result(), fused->result());
  graph.Erase(node);
  graph.Erase(matmul);
  return true;
}

// A list that stays as it is while nodes come and go.
std::vector<Node*> NodesOf(const Graph& graph) {
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  return nodes;
}

}  // namespace

absl::StatusOr<bool> Canonicalise(Graph& graph, const CompileContext&) {
  bool changed = false;
  for (Node* node : NodesOf(graph)) {  // in order: operands are canonical before their users
    changed |= OrderOperands(graph, node);
    changed |= MergeReshapes(graph, node);
    changed |= DropIdentity(graph, node);
  }
  // Once all identities are gone: one of them may have been the other user of a product.
  for (Node* node : NodesOf(graph)) {
    SLUICE_ASSIGN_OR_RETURN(const bool folded, FoldBias(graph, node));
    changed |= folded;
  }
  return changed;
}

}  // namespace sluice
