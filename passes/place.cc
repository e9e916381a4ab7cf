// place: gives every node a device, and brings values from one device to another by copies.
//
//   before   %h = glu(%x, @gate, @up) {act=silu} : f32[tokens,64]
//            %y = matmul(%h, @down) : f32[tokens,32]
//   after    %h = glu(%x, @gate, @up) {act=silu} : f32[tokens,64] device(cpu)
//            %h.vulkan = copy(%h) : f32[tokens,64] device(vulkan) by(place)
//            %y = matmul(%h.vulkan, @down) : f32[tokens,32] device(vulkan)
//
// The placement says where nodes go: by a rule, otherwise by layer; with `fallback`, not where no
// kernel takes them. Nodes that share a state, or run once and need each other, go together: the
// strongest reason among them counts, of equal ones the first. A node without weights that no rule
// names then moves to where it makes less to copy: routing and summing of experts follow the
// experts, for instance.
// Inputs and weights are wherever they are read, and need no copies.
// Not without a placement, and not for a graph that has devices already.
#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "passes/kernel_choice.h"
#include "passes/passes.h"

namespace sluice {
namespace {

// Why a node is where it is, the strongest reason last.
enum class Reason { kLayer, kRule, kFallback };

struct Choice {
  size_t device = 0;  // index in Placement::devices
  Reason reason = Reason::kLayer;
};

class Placer {
 public:
  Placer(Graph& graph, const CompileContext& context)
      : graph_(graph),
        context_(context),
        placement_(*context.placement),
        bounds_(graph.Bounds()),
        last_device_(placement_.devices.size() - 1) {
    for (const auto& node : graph.nodes()) nodes_.push_back(node.get());
  }

  absl::Status Run() {
    ChooseByLayer();
    for (const Node* node : nodes_) ChooseByRule(*node);
    JoinAll();
    AgreeOnDevices();
    SLUICE_RETURN_IF_ERROR(ReduceCopies());
    for (Node* node : nodes_) node->set_device(NameOf(choices_.at(node).device));
    for (Node* node : nodes_) SLUICE_RETURN_IF_ERROR(CopyOperands(node));
    return absl::OkStatus();
  }

 private:
  std::string NameOf(size_t device) const {
    return std::string(placement_.devices[device]->name());
  }

  // The last placement_.layers layers go to the first device. The output counts as one of them,
  // what is before the layers never does.
  void ChooseByLayer() {
    int layers = 0;
    for (const Node* node : nodes_) layers = std::max(layers, node->layer() + 1);
    int reached = layers > 0 ? -1 : 0;  // the layer that the node is in or after
    for (const Node* node : nodes_) {
      const int own = node->layer();
      reached = std::max(reached, own);
      const int layer = own >= 0 || reached < 0 ? own : layers;
      const bool is_first =
          placement_.layers < 0 || (layer >= 0 && layer >= layers + 1 - placement_.layers);
      choices_[node] = {.device = is_first ? 0 : last_device_};
    }
  }

  void ChooseByRule(const Node& node) {
    Choice& choice = choices_.at(&node);
    for (const PlaceRule& rule : placement_.rules) {
      if (!Fits(rule, node)) continue;
      choice = {.device = IndexOf(rule.device), .reason = Reason::kRule};
      break;
    }
    if (placement_.fallback && !Runs(node, choice.device)) {
      choice = {.device = last_device_, .reason = Reason::kFallback};
    }
  }

  size_t IndexOf(absl::string_view device) const {
    size_t index = 0;
    while (placement_.devices[index]->name() != device) ++index;
    return index;
  }

  bool Runs(const Node& node, size_t device) const {
    const Target target = TargetOf(placement_.devices[device]->name(), context_);
    if (target.kernels == nullptr || node.op().is_view) return true;
    return Cheapest(KernelChoices(node, bounds_, target)) != nullptr;
  }

  // --- Nodes that stay together ---------------------------------------------------------------

  // Of the nodes that this one stays together with, that which stands for all.
  const Node* LeaderOf(const Node* node) const {
    while (true) {
      const auto leader = leaders_.find(node);
      if (leader == leaders_.end()) return node;
      node = leader->second;
    }
  }

  void Join(const Node* a, const Node* b) {
    const Node* leader = LeaderOf(a);
    const Node* other = LeaderOf(b);
    if (leader != other) leaders_[other] = leader;
    if (a != b) joined_.insert({a, b});
  }

  // Users of one state, and nodes that run once and need each other.
  void JoinAll() {
    for (const Node* node : nodes_) {
      for (const Value* operand : node->operands()) {
        if (operand == nullptr) continue;
        const Node* producer = operand->producer();
        if (operand->type().is_state) {
          Join(producer != nullptr ? producer : operand->uses()[0].node, node);
        } else if (node->once() && producer != nullptr) {
          Join(producer, node);
        }
      }
    }
  }

  void AgreeOnDevices() {
    absl::flat_hash_map<const Node*, Choice> agreed;  // by leader
    for (const Node* node : nodes_) {
      const Choice& own = choices_.at(node);
      Choice& strongest = agreed.try_emplace(LeaderOf(node), own).first->second;
      if (own.reason > strongest.reason) strongest = own;
    }
    for (const Node* node : nodes_) {
      Choice& own = choices_.at(node);
      const Choice& strongest = agreed.at(LeaderOf(node));
      if (context_.explain && own.reason == Reason::kRule && own.device != strongest.device) {
        context_.explain(absl::StrCat("%", node->name(), ": not on ", NameOf(own.device),
                                      ": what it goes together with is on ",
                                      NameOf(strongest.device)));
      }
      own = strongest;
    }
  }

  // --- Nodes that may move --------------------------------------------------------------------

  bool MayMove(const Node& node) const {
    if (choices_.at(&node).reason != Reason::kLayer || joined_.contains(&node)) return false;
    return node.once() ||
           std::none_of(node.operands().begin(), node.operands().end(), [](const Value* operand) {
             return operand != nullptr && operand->kind() == Value::Kind::kWeight;
           });
  }

  // Each move makes the sum of all copies smaller, or brings a node to the last device for as much
  // (of two experts a token, the rows are as large as residual and sum): so this ends.
  absl::Status ReduceCopies() {
    for (bool moved = true; moved;) {
      moved = false;
      for (const Node* node : nodes_) {
        if (!MayMove(*node)) continue;
        SLUICE_ASSIGN_OR_RETURN(const size_t best, CheapestDevice(*node));
        moved |= best != std::exchange(choices_.at(node).device, best);
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> CheapestDevice(const Node& node) const {
    size_t best = choices_.at(&node).device;
    SLUICE_ASSIGN_OR_RETURN(int64_t least, CopiedBytes(node, best));
    for (size_t device = 0; device <= last_device_; ++device) {
      SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, CopiedBytes(node, device));
      const bool is_better = bytes < least || (bytes == least && device == last_device_);
      if (!is_better || !Runs(node, device)) continue;
      least = bytes;
      best = device;
    }
    return best;
  }

  // Bytes of the copies that would be made for this node alone if it were there.
  absl::StatusOr<int64_t> CopiedBytes(const Node& node, size_t device) const {
    const auto is_there = [&](const Use& use) {
      return use.node != &node && choices_.at(use.node).device == device;
    };
    int64_t sum = 0;
    for (const Value* operand :
         std::set<const Value*>(node.operands().begin(), node.operands().end())) {
      if (operand == nullptr || operand->producer() == nullptr) continue;
      if (choices_.at(operand->producer()).device == device) continue;
      if (std::any_of(operand->uses().begin(), operand->uses().end(), is_there)) continue;
      SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, bounds_.EvaluateBytes(operand->type()));
      sum += bytes;
    }
    for (const auto& result : node.results()) {
      std::set<size_t> others;
      for (const Use& use : result->uses()) others.insert(choices_.at(use.node).device);
      others.erase(device);
      SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, bounds_.EvaluateBytes(result->type()));
      sum += bytes * static_cast<int64_t>(others.size());
    }
    return sum;
  }

  // --- Copies ---------------------------------------------------------------------------------

  absl::Status CopyOperands(Node* node) {
    for (size_t i = 0; i < node->operands().size(); ++i) {
      Value* operand = node->operand(i);
      const Node* producer = operand != nullptr ? operand->producer() : nullptr;
      if (producer == nullptr || producer->device() == node->device()) continue;
      Value*& copy = copies_[{operand, node->device()}];
      if (copy == nullptr) {
        const std::string name = absl::StrCat(operand->name(), ".", node->device());
        SLUICE_ASSIGN_OR_RETURN(Node * added, graph_.Add({.op = "copy",
                                                          .operands = {operand},
                                                          .names = {graph_.UniqueName(name)},
                                                          .before = node}));
        added->set_device(node->device());
        added->set_layer(producer->layer());  // in every step, also of what is made once
        added->set_origin("place");
        copy = added->result();
      }
      graph_.SetOperand(node, static_cast<int>(i), copy);
    }
    return absl::OkStatus();
  }

  Graph& graph_;
  const CompileContext& context_;
  const Placement& placement_;
  const SymbolValues bounds_;
  const size_t last_device_;
  std::vector<Node*> nodes_;  // without the copies
  absl::flat_hash_map<const Node*, Choice> choices_;
  absl::flat_hash_map<const Node*, const Node*> leaders_;  // of nodes that do not lead
  absl::flat_hash_set<const Node*> joined_;                // that have others to stay with
  absl::flat_hash_map<std::pair<const Value*, std::string>, Value*> copies_;
};

}  // namespace

absl::StatusOr<bool> Place(Graph& graph, const CompileContext& context) {
  if (context.placement == nullptr || graph.nodes().empty()) return false;
  const bool has_devices = std::any_of(graph.nodes().begin(), graph.nodes().end(),
                                       [](const auto& node) { return !node->device().empty(); });
  if (has_devices) return false;
  SLUICE_RETURN_IF_ERROR(Placer(graph, context).Run());
  return true;
}

}  // namespace sluice
