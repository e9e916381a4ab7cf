#include "backends/ref/ref_backend.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "backends/host_buffer.h"
#include "backends/kernel.h"
#include "backends/ref/round_activations.h"
#include "graph/evaluate.h"
#include "graph/formats/dequantize.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

class RefExecutable : public Executable {
 public:
  RefExecutable(Graph graph, const RefOptions& options)
      : graph_(std::move(graph)), options_(options) {}

  absl::Status Bind(const WeightTable& weights) {
    slices_.resize(graph_.weights().size());
    for (size_t i = 0; i < slices_.size(); ++i) {
      const Value* weight = graph_.weights()[i].get();
      if (!IsInteger(weight->type().dtype) && !CanDequantize(weight->type().dtype)) {
        return absl::UnimplementedError(absl::StrCat("weight ", weight->ref(), " has the format ",
                                                     Name(weight->type().dtype),
                                                     ", which cannot be decoded"));
      }
      SLUICE_ASSIGN_OR_RETURN(views_[weight], BindWeight(*weight, weights, &slices_[i]));
      memory_.weights += views_[weight].bytes();
    }
    for (const auto& node : graph_.nodes()) {
      if (node->once()) SLUICE_RETURN_IF_ERROR(RunNode(*node, {}, &constants_));
    }
    return absl::OkStatus();
  }

  const Graph& graph() const override { return graph_; }
  MemoryUse memory() const override { return memory_; }

  absl::Status Run(const RunArgs& args) override {
    SLUICE_RETURN_IF_ERROR(CheckRunArgs(graph_, args));
    if (args.nodes.begin == 0) Forget();
    for (size_t i = 0; i < args.inputs.size(); ++i) {
      views_[graph_.inputs()[i].get()] = args.inputs[i];
    }
    for (size_t i = 0; i < args.states.size(); ++i) {
      const Value* state = graph_.states()[i].get();
      SLUICE_ASSIGN_OR_RETURN(views_[state], ViewOf(state->type(), args.symbols));
      views_[state].data = args.states[i]->host();
    }
    const size_t end = std::min(args.nodes.end, graph_.nodes().size());
    for (size_t i = args.nodes.begin; i < end; ++i) {
      const Node& node = *graph_.nodes()[i];
      if (!node.once()) SLUICE_RETURN_IF_ERROR(RunNode(node, args, &buffers_));
    }
    return absl::OkStatus();
  }

 private:
  using Buffers = std::vector<std::unique_ptr<HostBuffer>>;

  TensorView OutputView(size_t i) const override {
    const auto view = views_.find(graph_.outputs()[i]);
    return view != views_.end() ? view->second : TensorView{};
  }

  // What the last run has left, which may have stopped anywhere.
  void Forget() {
    buffers_.clear();
    for (const Value* output : graph_.outputs()) {
      if (!output->producer()->once()) views_.erase(output);
    }
  }

  absl::Status RunNode(const Node& node, const RunArgs& args, Buffers* buffers) {
    std::vector<TensorView> operands, results;
    for (const Value* value : node.operands()) {
      operands.push_back(value != nullptr ? views_.at(value) : TensorView{});
    }
    for (size_t i = 0; i < node.results().size(); ++i) {
      const Value* result = node.result(i);
      const int aliased = node.op().results[i].aliases;
      TensorView& view = views_[result];
      if (aliased >= 0) {
        view = operands[static_cast<size_t>(aliased)];
      } else {
        SLUICE_ASSIGN_OR_RETURN(view, ViewOf(result->type(), args.symbols));
        SLUICE_ASSIGN_OR_RETURN(auto buffer, HostBuffer::Create(view.bytes()));
        buffers->push_back(std::move(buffer));
        view.data = buffers->back()->host();
      }
      results.push_back(view);
    }
    const auto types = node.OperandTypes();
    const OpCall call{node.op(), types, node.attrs()};
    std::vector<float> rounded;
    if (options_.round_activations && HasPackedWeight(node)) {
      if (TensorView* x = ActivationsOf(node.op(), &operands)) {
        rounded.assign(x->f32(), x->f32() + x->elements());
        RoundActivations(rounded.data(), x->elements());
        x->data = reinterpret_cast<std::byte*>(rounded.data());
      }
    }
    const auto start = std::chrono::steady_clock::now();
    if (absl::Status status = Evaluate({call, operands, results}, graph_.registry());
        !status.ok()) {
      return AtNode(node, status);
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (args.observer) args.observer->OnNode(node, operands, results, elapsed.count());
    ReleaseDead(node);
    return absl::OkStatus();
  }

  static bool HasPackedWeight(const Node& node) {
    for (size_t i = 0; i < node.operands().size(); ++i) {
      if (IsPackable(node.op(), i) && !node.operand(i)->layout().empty()) return true;
    }
    return false;
  }

  // What is multiplied with weights that may have a layout: the first operand of floats that is
  // none of these. Null where rows are only looked up.
  static TensorView* ActivationsOf(const OpDef& op, std::vector<TensorView>* operands) {
    for (size_t i = 0; i < op.operands.size(); ++i) {
      const std::optional<TypePattern>& type = op.operands[i].type;
      const bool holds_floats = type.has_value() && type->Accepts(DType::kF32);
      if (holds_floats && !IsPackable(op, i)) return &(*operands)[i];
    }
    return nullptr;
  }

  // Drops storage of operands that no later node reads, so that a big model's activations do not
  // pile up.
  void ReleaseDead(const Node& node) {
    for (const Value* value : node.operands()) {
      if (value == nullptr || value->kind() != Value::Kind::kResult || value->type().is_state ||
          graph_.IsOutput(value)) {
        continue;
      }
      bool last = true;
      for (const Use& use : value->uses()) last = last && !graph_.IsBefore(&node, use.node);
      const std::byte* data = views_.at(value).data;
      if (last) std::erase_if(buffers_, [&](const auto& b) { return b->host() == data; });
    }
  }

  Graph graph_;
  RefOptions options_;
  MemoryUse memory_;
  std::vector<std::vector<const std::byte*>> slices_;  // of weights in pieces
  absl::flat_hash_map<const Value*, TensorView> views_;
  Buffers buffers_;    // of the current run
  Buffers constants_;  // results of nodes that run once
};

class RefBackend : public Backend {
 public:
  explicit RefBackend(const RefOptions& options) : options_(options) {
    caps_.set_backend("ref");
    caps_.set_name("reference interpreter");
    caps_.set_threads(1);
  }
  absl::string_view name() const override { return "ref"; }
  const proto::DeviceCaps& caps() const override { return caps_; }
  const KernelSet* kernels() const override { return nullptr; }

  absl::StatusOr<std::unique_ptr<Buffer>> Allocate(int64_t bytes) override {
    return HostBuffer::Create(bytes);
  }

  absl::StatusOr<std::unique_ptr<Executable>> Compile(Graph graph,
                                                      const WeightTable& weights) override {
    auto executable = std::make_unique<RefExecutable>(std::move(graph), options_);
    SLUICE_RETURN_IF_ERROR(executable->Bind(weights));
    return executable;
  }

 private:
  RefOptions options_;
  proto::DeviceCaps caps_;
};

}  // namespace

std::unique_ptr<Backend> MakeRefBackend(const RefOptions& options) {
  return std::make_unique<RefBackend>(options);
}

}  // namespace sluice
