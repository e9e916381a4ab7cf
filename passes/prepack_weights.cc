// prepack_weights: gives weights a layout that kernels read faster, as far as a memory budget goes,
// and their nodes the kernels for it.
//
//   before   weight @w : q4_k[2048,2048]
//            %y = matmul(%x, @w) : f32[tokens,2048] kernel("cpu.matmul.panel")
//   after    weight @w : q4_k[2048,2048] layout(x16)
//            %y = matmul(%x, @w) : f32[tokens,2048] kernel("cpu.matmul.x16")
//
// Nodes that share a weight, and weights that share a node, change together or not at all. What
// saves most time per byte comes first. A weight that an executable of another bucket has in a
// layout is there already: it costs nothing here.
// Not without a plan (CompileContext::packs), whose budget it is; not where some user of a weight
// has no kernel for the layout, or where the kernels would not be faster at the symbols' bounds.
#include <algorithm>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "graph/status_macros.h"
#include "passes/kernel_choice.h"
#include "passes/passes.h"

namespace sluice {
namespace {

// Nodes and packable weights that belong together.
struct Group {
  std::vector<Node*> nodes;
  std::vector<Value*> weights;
};

// What a layout would do for a group.
struct Proposal {
  const Group* group;
  const WeightLayout* layout;
  std::vector<const Kernel*> kernels;  // one per node
  double seconds_saved = 0;
  int64_t bytes = 0;  // that it would take
};

class Grouper {
 public:
  explicit Grouper(const Graph& graph) : graph_(graph) {}

  std::vector<Group> Run() {
    std::vector<Group> groups;
    for (const auto& weight : graph_.weights()) {
      Group group;
      AddWeight(weight.get(), &group);
      if (!group.nodes.empty()) groups.push_back(std::move(group));
    }
    return groups;
  }

 private:
  void AddWeight(Value* weight, Group* group) {
    const bool is_packable =
        !weight->uses().empty() &&
        std::all_of(weight->uses().begin(), weight->uses().end(), [](const Use& use) {
          return IsPackable(use.node->op(), static_cast<size_t>(use.operand)) && !use.node->once();
        });
    if (!is_packable || !seen_weights_.insert(weight).second) return;
    group->weights.push_back(weight);
    for (const Use& use : weight->uses()) {
      if (!seen_nodes_.insert(use.node).second) continue;
      group->nodes.push_back(use.node);
      for (size_t i = 0; i < use.node->operands().size(); ++i) {
        Value* operand = use.node->operand(i);
        const bool is_weight = operand != nullptr && operand->kind() == Value::Kind::kWeight;
        if (is_weight && IsPackable(use.node->op(), i)) AddWeight(operand, group);
      }
    }
  }

  const Graph& graph_;
  std::set<const Value*> seen_weights_;
  std::set<const Node*> seen_nodes_;
};

class Prepacker {
 public:
  Prepacker(Graph& graph, const CompileContext& context)
      : graph_(graph), context_(context), bounds_(graph.Bounds()) {}

  bool Run() {
    const std::vector<Group> groups = Grouper(graph_).Run();
    std::vector<Proposal> proposals;
    for (const Group& group : groups) {
      for (const WeightLayout& layout : context_.kernels->layouts()) {
        if (std::optional<Proposal> proposal = Propose(group, layout)) {
          proposals.push_back(*std::move(proposal));
        }
      }
    }
    std::stable_sort(proposals.begin(), proposals.end(), [](const auto& a, const auto& b) {
      return a.seconds_saved * static_cast<double>(b.bytes) >
             b.seconds_saved * static_cast<double>(a.bytes);
    });
    std::set<const Group*> done;
    for (const Proposal& proposal : proposals) {
      if (!done.contains(proposal.group) && Accept(proposal)) done.insert(proposal.group);
    }
    return !done.empty();
  }

 private:
  static void SetLayouts(const Group& group, const std::string& layout) {
    for (Value* weight : group.weights) weight->set_layout(layout);
  }

  // Nothing where the layout is impossible or would not help.
  std::optional<Proposal> Propose(const Group& group, const WeightLayout& layout) {
    Proposal proposal{.group = &group, .layout = &layout};
    for (const Value* weight : group.weights) {
      if (weight->layout() == layout.name) return std::nullopt;
      if (!layout.accepts(weight->type()).ok()) return std::nullopt;
      const auto packed = context_.packs->layouts.find(weight->name());
      const bool is_there =
          packed != context_.packs->layouts.end() && packed->second == layout.name;
      if (!is_there) proposal.bytes += layout.bytes(weight->type());
    }
    for (const Node* node : group.nodes) proposal.seconds_saved += Seconds(*node);
    const std::string before = group.weights[0]->layout();
    SetLayouts(group, layout.name);
    bool is_possible = true;
    for (const Node* node : group.nodes) {
      const std::vector<KernelChoice> choices = KernelChoices(*node, bounds_, context_);
      const KernelChoice* best = Cheapest(choices);
      is_possible = is_possible && best != nullptr;
      if (best == nullptr) break;
      proposal.kernels.push_back(best->kernel);
      proposal.seconds_saved -= best->seconds;
    }
    SetLayouts(group, before);
    if (!is_possible || proposal.seconds_saved <= 0) return std::nullopt;
    return proposal;
  }

  // What the node takes with the kernel that it has.
  double Seconds(const Node& node) const {
    const Target target = TargetOf(node.device(), context_);
    const Kernel* kernel =
        target.kernels != nullptr ? target.kernels->Find(node.kernel()) : nullptr;
    return kernel != nullptr && kernel->cost ? kernel->cost(node, bounds_, *target.caps) : 0;
  }

  bool Accept(const Proposal& proposal) {
    PackPlan& plan = *context_.packs;
    const Group& group = *proposal.group;
    if (proposal.bytes > plan.budget - plan.used) {
      if (context_.explain) {
        context_.explain(absl::StrFormat(
            "%s: not in the layout %s, which would save %.3f ms: it takes %d bytes, of the budget "
            "%d are left",
            group.weights[0]->ref(), proposal.layout->name, proposal.seconds_saved * 1e3,
            proposal.bytes, plan.budget - plan.used));
      }
      return false;
    }
    plan.used += proposal.bytes;
    SetLayouts(group, proposal.layout->name);
    for (const Value* weight : group.weights) {
      plan.layouts[weight->name()] = proposal.layout->name;
    }
    for (size_t i = 0; i < group.nodes.size(); ++i) {
      group.nodes[i]->set_kernel(proposal.kernels[i]->name);
    }
    return true;
  }

  Graph& graph_;
  const CompileContext& context_;
  const SymbolValues bounds_;
};

}  // namespace

absl::StatusOr<bool> PrepackWeights(Graph& graph, const CompileContext& context) {
  if (context.kernels == nullptr || context.packs == nullptr) return false;
  return Prepacker(graph, context).Run();
}

}  // namespace sluice
