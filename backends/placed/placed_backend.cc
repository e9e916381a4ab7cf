#include "backends/placed/placed_backend.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/device_split.h"
#include "graph/evaluate.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

// Shows the nodes of a device's graph as those of the whole one.
class WholeGraphObserver : public RunObserver {
 public:
  using Nodes = absl::flat_hash_map<const Node*, const Node*>;
  WholeGraphObserver(const Nodes& nodes, RunObserver& observer)
      : nodes_(nodes), observer_(observer) {}

  bool needs_values() const override { return observer_.needs_values(); }
  void OnNode(const Node& node, absl::Span<const TensorView> operands,
              absl::Span<const TensorView> results, double seconds) override {
    observer_.OnNode(*nodes_.at(&node), operands, results, seconds);
  }

 private:
  const Nodes& nodes_;
  RunObserver& observer_;
};

constexpr auto kNoPart = static_cast<size_t>(-1);

class PlacedExecutable : public Executable {
 public:
  explicit PlacedExecutable(Graph graph) : graph_(std::move(graph)) {}

  absl::Status Prepare(const WeightTable& weights, const Placement& placement) {
    SLUICE_ASSIGN_OR_RETURN(DeviceSplit split, SplitByDevice(graph_));
    for (DeviceGraph& part : split.graphs) {
      Backend* backend = placement.Find(part.device);
      if (backend == nullptr) {
        return absl::InvalidArgumentError(
            absl::StrCat("the graph has nodes for '", part.device, "', which is no device here"));
      }
      Device& device = devices_.emplace_back();
      device.graph_inputs = std::move(part.inputs);
      device.graph_states = std::move(part.states);
      SLUICE_ASSIGN_OR_RETURN(device.executable, backend->Compile(std::move(part.graph), weights));
      device.inputs.resize(device.graph().inputs().size());
      device.states.resize(device.graph_states.size());
      for (const auto& node : device.graph().nodes()) {
        whole_nodes_[node.get()] = graph_.Find(node->result()->ref())->producer();
      }
    }
    parts_ = std::move(split.parts);
    outputs_ = std::move(split.outputs);
    FindKept();
    return absl::OkStatus();
  }

  const Graph& graph() const override { return graph_; }

  MemoryUse memory() const override {
    MemoryUse sum;
    for (const Device& device : devices_) {
      const MemoryUse use = device.executable->memory();
      sum.weights += use.weights;
      sum.packed += use.packed;
      sum.constants += use.constants;
      sum.arena += use.arena;
    }
    return sum;
  }

  absl::Status Run(const RunArgs& args) override {
    SLUICE_RETURN_IF_ERROR(CheckRunArgs(graph_, args));
    for (Device& device : devices_) SLUICE_RETURN_IF_ERROR(device.Begin(args));
    if (args.observer == nullptr) return RunParts(nullptr);
    WholeGraphObserver observer(whole_nodes_, *args.observer);
    return RunParts(&observer);
  }

 private:
  TensorView OutputView(size_t i) const override {
    const auto& [device, output] = outputs_[i];
    absl::StatusOr<TensorView> view = OutputOf(device, output);
    if (!view.ok()) return {};
    return *std::move(view);
  }

  // An output that is wanted when its device has gone on to another part. Executables promise
  // theirs until they run again, so that what they share with the host can be the same for all
  // parts.
  struct Kept {
    size_t part = kNoPart;  // that makes it; kNoPart: it need not be kept
    TensorView view;
    std::vector<std::byte> bytes;
  };

  struct Device {
    std::unique_ptr<Executable> executable;
    std::vector<size_t> graph_inputs, graph_states;  // DeviceGraph's
    std::vector<TensorView> inputs;
    std::vector<Buffer*> states;
    std::vector<Kept> kept;  // by output
    RunArgs args;

    const Graph& graph() const { return executable->graph(); }

    // Inputs from other devices stay where they were in the last step: nothing is bound anew.
    absl::Status Begin(const RunArgs& whole) {
      args.symbols = whole.symbols;
      for (size_t i = 0; i < inputs.size(); ++i) {
        if (i < graph_inputs.size()) {
          inputs[i] = whole.inputs[graph_inputs[i]];
          continue;
        }
        SLUICE_ASSIGN_OR_RETURN(TensorView view, ViewOf(graph().inputs()[i]->type(), args.symbols));
        view.data = inputs[i].data;
        inputs[i] = std::move(view);
      }
      for (size_t i = 0; i < states.size(); ++i) states[i] = whole.states[graph_states[i]];
      args.inputs = inputs;
      args.states = states;
      return absl::OkStatus();
    }
  };

  void FindKept() {
    for (size_t d = 0; d < devices_.size(); ++d) {
      const auto outputs = devices_[d].graph().outputs();
      devices_[d].kept.resize(outputs.size());
      for (size_t i = 0; i < outputs.size(); ++i) {
        const size_t part = PartThatMakes(d, *outputs[i]);
        const auto after = parts_.begin() + static_cast<ptrdiff_t>(part == kNoPart ? 0 : part + 1);
        const auto wanted = parts_.begin() + static_cast<ptrdiff_t>(LastUse(d, i));
        const bool runs_again =
            after < wanted &&
            std::any_of(after, wanted, [&](const DevicePart& other) { return other.device == d; });
        if (part != kNoPart && runs_again) devices_[d].kept[i].part = part;
      }
    }
  }

  // kNoPart: it is made once, when the graph is loaded.
  size_t PartThatMakes(size_t device, const Value& output) const {
    const auto& nodes = devices_[device].graph().nodes();
    const auto node = std::find_if(nodes.begin(), nodes.end(),
                                   [&](const auto& n) { return n.get() == output.producer(); });
    const auto position = static_cast<size_t>(node - nodes.begin());
    if ((*node)->once()) return kNoPart;
    const auto part = std::find_if(parts_.begin(), parts_.end(), [&](const DevicePart& p) {
      return p.device == device && p.nodes.begin <= position && position < p.nodes.end;
    });
    return static_cast<size_t>(part - parts_.begin());
  }

  // The last part that takes the output; behind all of them if it is the whole graph's.
  size_t LastUse(size_t device, size_t output) const {
    const auto is_it = [&](const auto& o) { return o.first == device && o.second == output; };
    if (std::any_of(outputs_.begin(), outputs_.end(), is_it)) return parts_.size();
    size_t last = 0;
    for (size_t i = 0; i < parts_.size(); ++i) {
      for (const DeviceTransfer& transfer : parts_[i].transfers) {
        if (transfer.from == device && transfer.output == output) last = i;
      }
    }
    return last;
  }

  absl::StatusOr<TensorView> OutputOf(size_t device, size_t output) const {
    const Kept& kept = devices_[device].kept[output];
    if (kept.part != kNoPart) return kept.view;
    return devices_[device].executable->output(output);
  }

  // Copies the outputs to be kept of the part that has just run.
  absl::Status Keep(size_t part) {
    Device& device = devices_[parts_[part].device];
    for (size_t i = 0; i < device.kept.size(); ++i) {
      Kept& kept = device.kept[i];
      if (kept.part != part) continue;
      SLUICE_ASSIGN_OR_RETURN(kept.view, device.executable->output(i));
      kept.bytes.assign(kept.view.data, kept.view.data + kept.view.bytes());
      kept.view.data = kept.bytes.data();
    }
    return absl::OkStatus();
  }

  absl::Status RunParts(RunObserver* observer) {
    for (size_t i = 0; i < parts_.size(); ++i) {
      const DevicePart& part = parts_[i];
      Device& device = devices_[part.device];
      for (const DeviceTransfer& transfer : part.transfers) {
        SLUICE_ASSIGN_OR_RETURN(device.inputs[transfer.input],
                                OutputOf(transfer.from, transfer.output));
      }
      device.args.nodes = part.nodes;
      device.args.observer = observer;
      SLUICE_RETURN_IF_ERROR(device.executable->Run(device.args));
      SLUICE_RETURN_IF_ERROR(Keep(i));
    }
    return absl::OkStatus();
  }

  Graph graph_;
  std::vector<Device> devices_;
  std::vector<DevicePart> parts_;
  std::vector<std::pair<size_t, size_t>> outputs_;  // DeviceSplit's
  WholeGraphObserver::Nodes whole_nodes_;
};

class PlacedBackend : public Backend {
 public:
  explicit PlacedBackend(Placement placement) : placement_(std::move(placement)) {
    const auto& devices = placement_.devices;
    name_ = absl::StrJoin(devices, "+", [](std::string* out, const auto& device) {
      absl::StrAppend(out, device->name());
    });
    // What concerns the host, such as threads, is that of the last device.
    caps_ = devices.back()->caps();
    caps_.set_backend(name_);
    caps_.set_name(devices.front()->caps().name());
    for (const auto& device : devices) {
      if (device->kernels() == nullptr) continue;
      for (const Kernel& kernel : device->kernels()->kernels()) kernels_.Add(kernel);
      for (const WeightLayout& layout : device->kernels()->layouts()) kernels_.AddLayout(layout);
    }
  }
  absl::string_view name() const override { return name_; }
  const proto::DeviceCaps& caps() const override { return caps_; }
  // Those of all devices; which of them a node can have, its device's backend says.
  const KernelSet* kernels() const override { return &kernels_; }
  const Placement* placement() const override { return &placement_; }

  absl::StatusOr<std::unique_ptr<Buffer>> Allocate(int64_t bytes) override {
    return placement_.devices.front()->Allocate(bytes);
  }

  absl::StatusOr<std::unique_ptr<Executable>> Compile(Graph graph,
                                                      const WeightTable& weights) override {
    auto executable = std::make_unique<PlacedExecutable>(std::move(graph));
    SLUICE_RETURN_IF_ERROR(executable->Prepare(weights, placement_));
    return executable;
  }

 private:
  Placement placement_;
  std::string name_;
  proto::DeviceCaps caps_;
  KernelSet kernels_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> MakePlacedBackend(Placement placement) {
  std::vector<absl::string_view> names;
  for (const auto& device : placement.devices) {
    if (placement.Find(device->name()) != device.get()) {
      return absl::InvalidArgumentError(absl::StrCat("two devices are called ", device->name()));
    }
    names.push_back(device->name());
  }
  if (names.empty()) return absl::InvalidArgumentError("a placement needs a device");
  for (const PlaceRule& rule : placement.rules) {
    if (placement.Find(rule.device) != nullptr) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "'", rule.pattern, "=", rule.device, "': the devices are ", absl::StrJoin(names, ", ")));
  }
  return std::make_unique<PlacedBackend>(std::move(placement));
}

}  // namespace sluice
