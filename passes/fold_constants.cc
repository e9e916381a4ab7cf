// fold_constants: arithmetic on what is known before the first step happens before the first step.
//
//   scale(scale(%x) {factor=2.0}) {factor=3.0}    scale(%x) {factor=6.0}
//   %w2 = mul(@w, @gain) : f32[64]                %w2 = mul(@w, @gain) : f32[64] once
//
// A node that depends on weights alone, directly or by way of others like it, is marked `once`: it
// runs when the graph is loaded, and its result stays in memory.
// Not where a result is larger than what it is made of (a weight decoded would be read in its
// larger form in every step), or depends on a symbol. Not for scales with other users between.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "graph/ops/elementwise.h"
#include "graph/status_macros.h"
#include "passes/passes.h"

namespace sluice {
namespace {

constexpr absl::string_view kName = "fold_constants";

bool IsConstant(const Value* value) {
  return value == nullptr || value->kind() == Value::Kind::kWeight ||
         (value->producer() != nullptr && value->producer()->once());
}

// Empty, or why the node has to run in every step. Its operands are constant.
absl::StatusOr<std::string> RefuseOnce(const Node& node, const SymbolValues& bounds) {
  if (node.op().is_view) return "";
  int64_t read = 0, written = 0;
  for (const Value* operand : node.operands()) {
    if (operand == nullptr) continue;
    SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, bounds.EvaluateBytes(operand->type()));
    read += bytes;
  }
  for (const auto& result : node.results()) {
    SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, bounds.EvaluateBytes(result->type()));
    written += bytes;
  }
  if (written <= read) return "";
  return absl::StrCat("its result takes ", written, " bytes, its operands take ", read);
}

absl::StatusOr<bool> MarkOnce(const Graph& graph, Node* node, const CompileContext& context) {
  const bool is_constant =
      !node->once() && !node->op().UpdatesState() && !node->operands().empty() &&
      std::all_of(node->operands().begin(), node->operands().end(), IsConstant) &&
      std::all_of(node->results().begin(), node->results().end(), [](const auto& result) {
        const Shape& shape = result->type().shape;
        return std::all_of(shape.begin(), shape.end(),
                           [](const Dim& d) { return d.is_constant(); });
      });
  if (!is_constant) return false;
  SLUICE_ASSIGN_OR_RETURN(const std::string refusal, RefuseOnce(*node, graph.Bounds()));
  if (!refusal.empty()) {
    if (context.explain) {
      context.explain(absl::StrCat("%", node->name(), ": runs in every step: ", refusal));
    }
    return false;
  }
  node->set_once(true);
  return true;
}

// Two scales become one: the product of the factors is rounded instead of the value between.
// Returns the inner one, which nobody needs any more; nullptr: nothing has changed.
Node* MergeScales(Graph& graph, Node* node) {
  if (node->op().name != "scale") return nullptr;
  Value* between = As<UnaryCall>(*node).x;
  Node* inner = between->producer();
  if (inner == nullptr || inner->op().name != "scale" || between->uses().size() != 1 ||
      graph.IsOutput(between)) {
    return nullptr;
  }
  const double factor = std::get<double>(*inner->attrs().Find("factor")) *
                        std::get<double>(*node->attrs().Find("factor"));
  graph.SetAttr(node, "factor", factor);
  graph.SetOperand(node, kOperand<UnaryCall>.x, As<UnaryCall>(*inner).x);
  node->set_origin(std::string(kName));
  return inner;
}

}  // namespace

absl::StatusOr<bool> FoldConstants(Graph& graph, const CompileContext& context) {
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  std::vector<Node*> merged;
  bool changed = false;
  for (Node* node : nodes) {
    if (Node* const inner = MergeScales(graph, node); inner != nullptr) {
      merged.push_back(inner);
      changed = true;
    }
    SLUICE_ASSIGN_OR_RETURN(const bool marked, MarkOnce(graph, node, context));
    changed |= marked;
  }
  graph.EraseAll(merged);
  return changed;
}

}  // namespace sluice
