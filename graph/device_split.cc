#include "graph/device_split.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

class Splitter {
 public:
  explicit Splitter(const Graph& graph) : graph_(graph) {}

  absl::StatusOr<DeviceSplit> Run() && {
    for (const auto& node : graph_.nodes()) {
      const auto [it, is_new] = devices_.try_emplace(node->device(), devices_.size());
      if (is_new)
        split_.graphs.push_back({node->device(), Graph(graph_.name(), &graph_.registry())});
    }
    twins_.resize(split_.graphs.size());
    ends_.resize(split_.graphs.size());
    for (size_t device = 0; device < split_.graphs.size(); ++device) {
      SLUICE_RETURN_IF_ERROR(AddSources(device));
    }
    for (const auto& node : graph_.nodes()) SLUICE_RETURN_IF_ERROR(AddNode(*node));
    for (const Value* output : graph_.outputs()) {
      SLUICE_ASSIGN_OR_RETURN(const size_t index, OutputOf(*output));
      split_.outputs.emplace_back(DeviceOf(*output->producer()), index);
    }
    return std::move(split_);
  }

 private:
  size_t DeviceOf(const Node& node) const { return devices_.at(node.device()); }

  bool IsUsedOn(const Value& value, size_t device) const {
    return std::any_of(value.uses().begin(), value.uses().end(),
                       [&](const Use& use) { return DeviceOf(*use.node) == device; });
  }

  absl::Status AddSources(size_t device) {
    DeviceGraph& part = split_.graphs[device];
    for (const auto& [name, value] : graph_.attrs()) part.graph.SetAttr(name, value);
    for (const SymbolDef& symbol : graph_.symbols()) {
      SLUICE_RETURN_IF_ERROR(part.graph.AddSymbol(symbol.name, symbol.bound));
    }
    for (size_t i = 0; i < graph_.inputs().size(); ++i) {
      const Value* input = graph_.inputs()[i].get();
      if (!IsUsedOn(*input, device)) continue;
      part.inputs.push_back(i);
      SLUICE_ASSIGN_OR_RETURN(twins_[device][input],
                              part.graph.AddInput(input->name(), input->type()));
    }
    for (const auto& weight : graph_.weights()) {
      if (!IsUsedOn(*weight, device)) continue;
      SLUICE_ASSIGN_OR_RETURN(Value * twin, part.graph.AddWeight(weight->name(), weight->type()));
      twin->set_layout(weight->layout());
      twins_[device][weight.get()] = twin;
    }
    for (size_t i = 0; i < graph_.states().size(); ++i) {
      const Value* state = graph_.states()[i].get();
      if (!IsUsedOn(*state, device)) continue;
      part.states.push_back(i);
      SLUICE_ASSIGN_OR_RETURN(twins_[device][state],
                              part.graph.AddState(state->name(), state->type()));
    }
    return absl::OkStatus();
  }

  absl::Status AddNode(const Node& node) {
    const size_t device = DeviceOf(node);
    Graph& graph = split_.graphs[device].graph;
    NodeSpec spec{.op = node.op().name, .attrs = node.attrs()};
    std::vector<DeviceTransfer> received;
    for (const Value* operand : node.operands()) {
      spec.operands.push_back(nullptr);
      if (operand == nullptr) continue;
      const auto twin = twins_[device].find(operand);
      if (twin != twins_[device].end()) {
        spec.operands.back() = twin->second;
        continue;
      }
      SLUICE_ASSIGN_OR_RETURN(spec.operands.back(), Receive(*operand, device, &received));
    }
    for (const auto& result : node.results()) spec.names.push_back(result->name());
    SLUICE_ASSIGN_OR_RETURN(Node * twin, graph.Add(std::move(spec)));
    twin->Accompany(node);
    twin->set_kernel(node.kernel());
    twin->set_origin(node.origin());
    twin->set_scratch(node.scratch());
    for (size_t i = 0; i < node.results().size(); ++i) {
      twin->result(i)->set_mem(node.result(i)->mem());
      twins_[device][node.result(i)] = twin->result(i);
    }
    if (!node.once()) AddToPart(device, received);
    return absl::OkStatus();
  }

  // The input that brings `value` to the device.
  absl::StatusOr<Value*> Receive(const Value& value, size_t device,
                                 std::vector<DeviceTransfer>* received) {
    Graph& graph = split_.graphs[device].graph;
    SLUICE_ASSIGN_OR_RETURN(const size_t output, OutputOf(value));
    SLUICE_ASSIGN_OR_RETURN(Value * input, graph.AddInput(value.name(), value.type()));
    twins_[device][&value] = input;
    received->push_back({.from = DeviceOf(*value.producer()),
                         .output = output,
                         .to = device,
                         .input = graph.inputs().size() - 1});
    return input;
  }

  // The index of `value` among the outputs of its device's graph; it becomes one if it is none yet.
  absl::StatusOr<size_t> OutputOf(const Value& value) {
    const size_t device = DeviceOf(*value.producer());
    Graph& graph = split_.graphs[device].graph;
    Value* twin = twins_[device].at(&value);
    const auto outputs = graph.outputs();
    const auto found = std::find(outputs.begin(), outputs.end(), twin);
    const auto index = static_cast<size_t>(found - outputs.begin());
    if (found == outputs.end()) SLUICE_RETURN_IF_ERROR(graph.AddOutput(twin));
    return index;
  }

  // Adds the device's last node, which is new, to the last part, or begins a part with it.
  void AddToPart(size_t device, const std::vector<DeviceTransfer>& received) {
    const size_t end = split_.graphs[device].graph.nodes().size();
    if (split_.parts.empty() || split_.parts.back().device != device) {
      split_.parts.push_back({.device = device, .nodes = {.begin = ends_[device]}});
    }
    DevicePart& part = split_.parts.back();
    part.nodes.end = ends_[device] = end;
    part.transfers.insert(part.transfers.end(), received.begin(), received.end());
  }

  const Graph& graph_;
  DeviceSplit split_;
  absl::flat_hash_map<absl::string_view, size_t> devices_;  // in split_.graphs
  // Of every value, by device: the one that stands for it there.
  std::vector<absl::flat_hash_map<const Value*, Value*>> twins_;
  std::vector<size_t> ends_;  // by device: how many nodes have a part
};

}  // namespace

absl::StatusOr<DeviceSplit> SplitByDevice(const Graph& graph) { return Splitter(graph).Run(); }

}  // namespace sluice
