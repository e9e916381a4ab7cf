#include "backends/cpu/cpu_backend.h"

#include <omp.h>
#include <unistd.h>

#include <chrono>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "backends/cpu/step.h"
#include "backends/host_buffer.h"
#include "graph/evaluate.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

using cpu::CpuKernel;
using cpu::LowerContext;
using cpu::Step;
using cpu::StepArgs;
using cpu::Threads;

// One node of the program: indices into the executable's table of views.
struct Instruction {
  const Node* node;
  std::unique_ptr<Step> step;  // null for a view, whose bytes are in place already
  std::vector<int> operands;   // -1: left out
  std::vector<int> results;
  std::byte* scratch = nullptr;
};

class CpuExecutable : public Executable {
 public:
  CpuExecutable(Graph graph, int threads) : graph_(std::move(graph)), threads_(threads) {}

  absl::Status Prepare(const WeightTable& weights, const std::vector<CpuKernel>& kernels,
                       const proto::DeviceCaps& caps) {
    SLUICE_RETURN_IF_ERROR(BindWeights(weights));
    for (const auto& value : graph_.inputs()) AddView(value.get());
    for (const auto& value : graph_.states()) AddView(value.get());
    const SymbolValues bounds = graph_.Bounds();
    for (const auto& node : graph_.nodes()) {
      SLUICE_RETURN_IF_ERROR(Lower(*node, bounds, kernels, caps));
    }
    SLUICE_RETURN_IF_ERROR(AllocateArena());
    return RunConstants();
  }

  const Graph& graph() const override { return graph_; }
  MemoryUse memory() const override { return memory_; }

  absl::Status Run(const RunArgs& args) override {
    SLUICE_RETURN_IF_ERROR(CheckRunArgs(graph_, args));
    SLUICE_RETURN_IF_ERROR(SetSizes(args.symbols));
    for (size_t i = 0; i < args.inputs.size(); ++i) {
      views_[IndexOf(graph_.inputs()[i].get())] = args.inputs[i];
    }
    for (size_t i = 0; i < args.states.size(); ++i) {
      views_[IndexOf(graph_.states()[i].get())].data = args.states[i]->host();
    }
    for (Instruction& instruction : program_) {
      if (instruction.node->once()) continue;
      SLUICE_RETURN_IF_ERROR(RunOne(instruction, args.observer));
    }
    return absl::OkStatus();
  }

  TensorView output(size_t i) const override { return views_[IndexOf(graph_.outputs()[i])]; }

 private:
  size_t IndexOf(const Value* value) const { return static_cast<size_t>(index_.at(value)); }

  size_t AddView(const Value* value) {
    const size_t index = views_.size();
    index_.emplace(value, static_cast<int>(index));
    values_.push_back(value);
    views_.emplace_back();
    return index;
  }

  absl::Status BindWeights(const WeightTable& weights) {
    slices_.resize(graph_.weights().size());
    for (size_t i = 0; i < slices_.size(); ++i) {
      const Value* weight = graph_.weights()[i].get();
      SLUICE_ASSIGN_OR_RETURN(TensorView view, BindWeight(*weight, weights, &slices_[i]));
      memory_.weights += view.bytes();
      views_[AddView(weight)] = view;
    }
    return absl::OkStatus();
  }

  absl::Status Lower(const Node& node, const SymbolValues& bounds,
                     const std::vector<CpuKernel>& kernels, const proto::DeviceCaps& caps) {
    Instruction instruction{.node = &node};
    for (const Value* operand : node.operands()) {
      instruction.operands.push_back(operand != nullptr ? index_.at(operand) : -1);
    }
    for (const auto& result : node.results()) {
      instruction.results.push_back(static_cast<int>(AddView(result.get())));
    }
    if (!node.op().is_view) {
      const auto types = node.OperandTypes();
      const LowerContext context{node, bounds, caps, {node.op(), types, node.attrs()}};
      auto kernel = std::find_if(kernels.begin(), kernels.end(), [&](const CpuKernel& k) {
        return k.record.name == node.kernel();
      });
      if (kernel == kernels.end()) {
        return AtNode(node, absl::InvalidArgumentError(absl::StrCat(
                                "has the kernel '", node.kernel(),
                                "', which the cpu backend does not know; run select_kernels")));
      }
      absl::StatusOr<std::unique_ptr<Step>> step = kernel->lower(context);
      if (!step.ok()) return AtNode(node, step.status());
      instruction.step = *std::move(step);
      const int64_t planned = node.scratch().has_value() ? node.scratch()->bytes : 0;
      if (instruction.step->scratch_bytes() > planned) {
        return AtNode(
            node, absl::InvalidArgumentError(absl::StrCat(
                      "its kernel needs ", instruction.step->scratch_bytes(),
                      " bytes of scratch memory, the plan has ", planned, "; run plan_memory")));
      }
    }
    program_.push_back(std::move(instruction));
    return absl::OkStatus();
  }

  absl::Status AllocateArena() {
    for (const Value* value : values_) {
      const bool is_view = value->producer() != nullptr && value->producer()->op().is_view;
      if (value->kind() != Value::Kind::kResult || value->type().is_state) continue;
      if (!value->mem().has_value() && !is_view) {
        return absl::InvalidArgumentError(
            absl::StrCat(value->ref(), " has no place in memory; run plan_memory"));
      }
      SLUICE_RETURN_IF_ERROR(Reserve(*value, value->mem()));
    }
    for (const auto& node : graph_.nodes()) {
      SLUICE_RETURN_IF_ERROR(Reserve(*node->result(), node->scratch()));
    }
    SLUICE_ASSIGN_OR_RETURN(arena_, HostBuffer::Create(memory_.arena));
    SLUICE_ASSIGN_OR_RETURN(constants_, HostBuffer::Create(memory_.constants));
    for (size_t i = 0; i < values_.size(); ++i)
      views_[i].data = Place(values_[i]->mem(), views_[i].data);
    for (Instruction& instruction : program_) {
      instruction.scratch = Place(instruction.node->scratch(), nullptr);
    }
    return absl::OkStatus();
  }

  // Makes the span's region large enough.
  absl::Status Reserve(const Value& value, const std::optional<MemSpan>& span) {
    if (!span.has_value()) return absl::OkStatus();
    if (span->region != "act" && span->region != "const") {
      return absl::InvalidArgumentError(
          absl::StrCat(value.ref(), " is placed in '", span->region,
                       "', which the cpu backend does not have; expected act or const"));
    }
    int64_t& end = span->region == "act" ? memory_.arena : memory_.constants;
    end = std::max(end, span->offset + span->bytes);
    return absl::OkStatus();
  }

  std::byte* Place(const std::optional<MemSpan>& span, std::byte* otherwise) const {
    if (!span.has_value()) return otherwise;
    return (span->region == "act" ? arena_ : constants_)->host() + span->offset;
  }

  absl::Status RunConstants() {
    for (const Instruction& instruction : program_) {
      if (!instruction.node->once()) continue;
      for (int index : instruction.results) {
        const auto i = static_cast<size_t>(index);
        SLUICE_ASSIGN_OR_RETURN(const TensorView view, ViewOf(values_[i]->type(), {}));
        views_[i].dtype = view.dtype;
        views_[i].dims = view.dims;
      }
      SLUICE_RETURN_IF_ERROR(RunOne(instruction, nullptr));
    }
    return absl::OkStatus();
  }

  // Dims follow the symbols; in a run of decode steps they stay as they are.
  absl::Status SetSizes(const SymbolValues& symbols) {
    if (symbols.entries() == sizes_.entries()) return absl::OkStatus();
    for (size_t i = 0; i < values_.size(); ++i) {
      if (values_[i]->kind() == Value::Kind::kWeight) continue;
      views_[i].dtype = values_[i]->type().dtype;
      SLUICE_ASSIGN_OR_RETURN(views_[i].dims, symbols.Evaluate(values_[i]->type().shape));
    }
    sizes_ = symbols;
    return absl::OkStatus();
  }

  absl::Status RunOne(const Instruction& instruction, RunObserver* observer) {
    operands_.clear();
    results_.clear();
    for (int index : instruction.operands) {
      operands_.push_back(index < 0 ? TensorView{} : views_[static_cast<size_t>(index)]);
    }
    for (size_t i = 0; i < instruction.results.size(); ++i) {
      TensorView& view = views_[static_cast<size_t>(instruction.results[i])];
      const int aliased = instruction.node->op().results[i].aliases;
      if (aliased >= 0) view.data = operands_[static_cast<size_t>(aliased)].data;
      if (instruction.step == nullptr) view.data = operands_[0].data;
      results_.push_back(view);
    }
    const auto start = observer ? Clock::now() : Clock::time_point();
    if (instruction.step != nullptr) {
      absl::Status status =
          instruction.step->Run({operands_, results_, threads_, instruction.scratch});
      if (!status.ok()) return AtNode(*instruction.node, status);
    }
    if (observer != nullptr) {
      const std::chrono::duration<double> elapsed = Clock::now() - start;
      observer->OnNode(*instruction.node, operands_, results_, elapsed.count());
    }
    return absl::OkStatus();
  }

  using Clock = std::chrono::steady_clock;

  Graph graph_;
  Threads threads_;
  MemoryUse memory_;
  std::vector<Instruction> program_;
  // One entry per value of the graph.
  absl::flat_hash_map<const Value*, int> index_;
  std::vector<const Value*> values_;
  std::vector<TensorView> views_;
  std::vector<std::vector<const std::byte*>> slices_;  // of weights in pieces
  std::unique_ptr<HostBuffer> arena_, constants_;
  SymbolValues sizes_;
  std::vector<TensorView> operands_, results_;  // of the running step
};

std::vector<CpuKernel> AllKernels() {
  std::vector<CpuKernel> kernels;
  cpu::AddLinearKernels(&kernels);
  cpu::AddMoeKernels(&kernels);
  cpu::AddNormRopeKernels(&kernels);
  cpu::AddAttentionKernels(&kernels);
  cpu::AddElementwiseKernels(&kernels);
  cpu::AddLayoutKernels(&kernels);
  for (CpuKernel& kernel : kernels) {
    kernel.record.scratch = [lower = kernel.lower](
                                const Node& node, const SymbolValues& bounds,
                                const proto::DeviceCaps& caps) -> absl::StatusOr<int64_t> {
      const auto types = node.OperandTypes();
      SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Step> step,
                              lower({node, bounds, caps, {node.op(), types, node.attrs()}}));
      return step->scratch_bytes();
    };
  }
  return kernels;
}

class CpuBackend : public Backend {
 public:
  explicit CpuBackend(const CpuOptions& options) : kernels_(AllKernels()) {
    for (const CpuKernel& kernel : kernels_) records_.Add(kernel.record);
    caps_.set_backend("cpu");
    caps_.set_threads(options.threads > 0 ? options.threads : omp_get_num_procs());
    caps_.set_memory_bytes(sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
    const long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
    caps_.set_l2_bytes(l2 > 0 ? l2 : 256 * 1024);
  }
  absl::string_view name() const override { return "cpu"; }
  const proto::DeviceCaps& caps() const override { return caps_; }
  const KernelSet* kernels() const override { return &records_; }

  absl::StatusOr<std::unique_ptr<Buffer>> Allocate(int64_t bytes) override {
    return HostBuffer::Create(bytes);
  }

  absl::StatusOr<std::unique_ptr<Executable>> Compile(Graph graph,
                                                      const WeightTable& weights) override {
    auto executable = std::make_unique<CpuExecutable>(std::move(graph), caps_.threads());
    SLUICE_RETURN_IF_ERROR(executable->Prepare(weights, kernels_, caps_));
    return executable;
  }

 private:
  std::vector<CpuKernel> kernels_;
  KernelSet records_;
  proto::DeviceCaps caps_;
};

}  // namespace

std::unique_ptr<Backend> MakeCpuBackend(const CpuOptions& options) {
  return std::make_unique<CpuBackend>(options);
}

}  // namespace sluice
