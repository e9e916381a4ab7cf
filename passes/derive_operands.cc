// derive_operands: gives nodes the operands that their kernels need and that their ops do without
// (Kernel::derived): values that another node makes of their other operands.
//
//   before   %h = expert_glu(%rows, @gate, @up, %offsets) {act=silu} kernel("...glu.tiles")
//            %d = expert_matmul(%h, @down, %offsets) kernel("vulkan.expert_matmul.tiles")
//   after    %offsets.tiles = expert_tiles(%offsets) {most=32, rows=[tokens*8]}
//            %h = expert_glu(%rows, @gate, @up, %offsets, %offsets.tiles) {act=silu}
//            %d = expert_matmul(%h, @down, %offsets, _, %offsets.tiles)
//
// Nodes of a device that need the same share it. Needs the kernel of each node; the new ones get
// theirs here. Not for a target without a kernel list.
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "passes/kernel_choice.h"
#include "passes/passes.h"

namespace sluice {
namespace {

class Deriver {
 public:
  Deriver(Graph& graph, const CompileContext& context)
      : graph_(graph), context_(context), bounds_(graph.Bounds()) {}

  absl::StatusOr<bool> Run() {
    std::vector<Node*> nodes;
    for (const auto& node : graph_.nodes()) nodes.push_back(node.get());
    bool changed = false;
    for (Node* node : nodes) {
      const Target target = TargetOf(node->device(), context_);
      const Kernel* kernel =
          target.kernels != nullptr ? target.kernels->Find(node->kernel()) : nullptr;
      if (kernel != nullptr && !DerivedFault(*node, *kernel).empty()) {
        SLUICE_RETURN_IF_ERROR(Give(*kernel->derived, node));
        changed = true;
      }
      earlier_.insert(node);
    }
    return changed;
  }

 private:
  absl::Status Give(const DerivedOperand& derived, Node* node) {
    const NodeSpec spec = derived.make(*node);
    Node* maker = Find(spec, *node);
    if (maker == nullptr) {
      SLUICE_ASSIGN_OR_RETURN(maker, Add(spec, node->op().operands[derived.operand].name, node));
    }
    graph_.SetOperand(node, static_cast<int>(derived.operand), maker->result());
    return absl::OkStatus();
  }

  // One of the same device that comes before the node; nullptr if there is none.
  Node* Find(const NodeSpec& spec, const Node& node) const {
    for (const Use& use : spec.operands.front()->uses()) {
      const bool is_in_reach = earlier_.contains(use.node) && use.node->device() == node.device();
      if (is_in_reach && IsSame(*use.node, spec)) return use.node;
    }
    return nullptr;
  }

  absl::StatusOr<Node*> Add(NodeSpec spec, absl::string_view operand, Node* before) {
    spec.names = {graph_.UniqueName(absl::StrCat(spec.operands.front()->name(), ".", operand))};
    spec.before = before;
    SLUICE_ASSIGN_OR_RETURN(Node* const node, graph_.Add(std::move(spec)));
    node->set_origin("derive_operands");
    node->Accompany(*before);
    const std::vector<KernelChoice> choices = KernelChoices(*node, bounds_, context_);
    const KernelChoice* best = Cheapest(choices);
    if (best == nullptr) {
      return absl::UnimplementedError(
          absl::StrCat("%", before->name(), " has the kernel '", before->kernel(),
                       "', which needs ", node->op().name, ", for which there is no kernel",
                       choices.empty() ? "" : absl::StrCat(": ", choices[0].refusal)));
    }
    node->set_kernel(best->kernel->name);
    earlier_.insert(node);
    return node;
  }

  Graph& graph_;
  const CompileContext& context_;
  const SymbolValues bounds_;
  absl::flat_hash_set<const Node*> earlier_;  // than the node that is looked at
};

}  // namespace

absl::StatusOr<bool> DeriveOperands(Graph& graph, const CompileContext& context) {
  if (context.kernels == nullptr) return false;
  return Deriver(graph, context).Run();
}

}  // namespace sluice
