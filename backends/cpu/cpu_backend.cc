#include "backends/cpu/cpu_backend.h"

#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "backends/compiled_rules.h"
#include "backends/cpu/layouts.h"
#include "backends/cpu/step.h"
#include "backends/host_buffer.h"
#include "graph/evaluate.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

using cpu::CpuKernel;
using cpu::CpuLayout;
using cpu::LowerContext;
using cpu::PackedWeights;
using cpu::Step;
using cpu::StepArgs;
using cpu::Threads;

// One node of the program. Operands and results are indices into the executable's table of views,
// and copies of those views as the step gets them.
struct Instruction {
  const Node* node;
  std::unique_ptr<Step> step;  // null for a view, whose bytes are in place already
  std::vector<int> operands;   // -1: left out
  std::vector<int> results;
  std::vector<TensorView> operand_views, result_views;
  std::byte* scratch = nullptr;
};

// What the backend has for all of its executables.
struct Shared {
  explicit Shared(int thread_count) : threads(thread_count) {}

  Threads threads;
  std::vector<CpuKernel> kernels;
  std::vector<CpuLayout> layouts;
  proto::DeviceCaps caps;
  PackedWeights packed;
  std::function<void(const PackEvent&)> on_packed;
};

class CpuExecutable : public Executable {
 public:
  CpuExecutable(Graph graph, const Threads& threads)
      : graph_(std::move(graph)), threads_(threads) {}

  absl::Status Prepare(const WeightTable& weights, Shared* shared) {
    SLUICE_RETURN_IF_ERROR(BindWeights(weights, shared));
    for (const auto& value : graph_.inputs()) inputs_.push_back(AddView(value.get()));
    for (const auto& value : graph_.states()) states_.push_back(AddView(value.get()));
    const SymbolValues bounds = graph_.Bounds();
    for (const auto& node : graph_.nodes()) {
      SLUICE_RETURN_IF_ERROR(Lower(*node, bounds, shared->kernels, shared->caps));
    }
    for (const Value* value : graph_.outputs()) {
      outputs_.push_back(static_cast<size_t>(index_.at(value)));
    }
    SLUICE_RETURN_IF_ERROR(AllocateArena());
    return RunConstants();
  }

  const Graph& graph() const override { return graph_; }
  MemoryUse memory() const override { return memory_; }

  absl::Status Run(const RunArgs& args) override {
    SLUICE_RETURN_IF_ERROR(CheckRunArgs(graph_, args));
    SLUICE_RETURN_IF_ERROR(Bind(args));
    const Threads::Region region(threads_);
    const size_t end = std::min(args.nodes.end, program_.size());
    for (size_t i = args.nodes.begin; i < end; ++i) {
      if (program_[i].node->once()) continue;
      SLUICE_RETURN_IF_ERROR(RunOne(program_[i], args.observer));
    }
    return absl::OkStatus();
  }

 private:
  TensorView OutputView(size_t i) const override {
    const bool is_there = sizes_.has_value() || graph_.outputs()[i]->producer()->once();
    return is_there ? views_[outputs_[i]] : TensorView{};
  }

  size_t AddView(const Value* value) {
    const size_t index = views_.size();
    index_.emplace(value, static_cast<int>(index));
    values_.push_back(value);
    views_.emplace_back();
    return index;
  }

  absl::Status BindWeights(const WeightTable& weights, Shared* shared) {
    slices_.resize(graph_.weights().size());
    int64_t to_pack = 0;
    for (const auto& weight : graph_.weights()) {
      if (weight->layout().empty()) continue;
      to_pack += LayoutOf(*weight, *shared).record.bytes(weight->type());
    }
    for (size_t i = 0; i < slices_.size(); ++i) {
      const Value* weight = graph_.weights()[i].get();
      SLUICE_ASSIGN_OR_RETURN(TensorView view, BindWeight(*weight, weights, &slices_[i]));
      const size_t index = AddView(weight);
      views_[index] = view;
      if (weight->layout().empty()) {
        memory_.weights += view.bytes();
      } else {
        SLUICE_RETURN_IF_ERROR(BindPacked(*weight, index, to_pack, shared));
      }
    }
    return absl::OkStatus();
  }

  static const CpuLayout& LayoutOf(const Value& weight, const Shared& shared) {
    return *std::find_if(shared.layouts.begin(), shared.layouts.end(),
                         [&](const CpuLayout& l) { return l.record.name == weight.layout(); });
  }

  // Puts the weight in its layout in the place of the one as in the file.
  absl::Status BindPacked(const Value& weight, size_t index, int64_t to_pack, Shared* shared) {
    TensorView& view = views_[index];
    int64_t done = memory_.packed;
    const auto part_packed = [&](absl::Span<const std::byte> part, int64_t bytes) {
      done += bytes;
      if (shared->on_packed != nullptr) shared->on_packed({part, done, to_pack});
    };
    SLUICE_ASSIGN_OR_RETURN(
        std::shared_ptr<HostBuffer> buffer,
        shared->packed.Get(LayoutOf(weight, *shared), weight.type(), view, threads_, part_packed));
    file_views_.emplace(static_cast<int>(index), view);
    view.data = buffer->host();
    view.slices = {};
    memory_.packed += buffer->bytes();
    packed_.push_back(std::move(buffer));
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
      absl::StatusOr<std::unique_ptr<Step>> step = kernel->lower(context);
      if (!step.ok()) return AtNode(node, step.status());
      instruction.step = *std::move(step);
    }
    instruction.operand_views.resize(instruction.operands.size());
    instruction.result_views.resize(instruction.results.size());
    program_.push_back(std::move(instruction));
    return absl::OkStatus();
  }

  absl::Status AllocateArena() {
    for (const auto& node : graph_.nodes()) {
      Reserve(node->scratch());
      for (const auto& result : node->results()) {
        if (!result->type().is_state) Reserve(result->mem());
      }
    }
    SLUICE_ASSIGN_OR_RETURN(arena_, HostBuffer::Create(memory_.arena));
    SLUICE_ASSIGN_OR_RETURN(constants_, HostBuffer::Create(memory_.constants));
    for (Instruction& instruction : program_) {
      instruction.scratch = Place(instruction.node->scratch(), nullptr);
      for (const int index : instruction.results) {
        const auto i = static_cast<size_t>(index);
        if (!values_[i]->type().is_state) views_[i].data = Place(values_[i]->mem(), nullptr);
      }
    }
    return absl::OkStatus();
  }

  // Makes the span's region large enough.
  void Reserve(const std::optional<MemSpan>& span) {
    if (!span.has_value()) return;
    int64_t& end = span->region == "act" ? memory_.arena : memory_.constants;
    end = std::max(end, span->offset + span->bytes);
  }

  std::byte* Place(const std::optional<MemSpan>& span, std::byte* otherwise) const {
    if (!span.has_value()) return otherwise;
    return (span->region == "act" ? arena_ : constants_)->host() + span->offset;
  }

  absl::Status RunConstants() {
    for (Instruction& instruction : program_) {
      if (!instruction.node->once()) continue;
      for (int index : instruction.results) {
        const auto i = static_cast<size_t>(index);
        SLUICE_ASSIGN_OR_RETURN(const TensorView view, ViewOf(values_[i]->type(), {}));
        views_[i].dtype = view.dtype;
        views_[i].dims = view.dims;
      }
      Resolve(&instruction);
      SLUICE_RETURN_IF_ERROR(RunOne(instruction, nullptr));
    }
    return absl::OkStatus();
  }

  // Makes all views fit the arguments. In a run of decode steps they mostly do already.
  absl::Status Bind(const RunArgs& args) {
    const bool has_sizes = sizes_.has_value() && sizes_->entries() == args.symbols.entries();
    if (has_sizes && HasData(args)) return absl::OkStatus();
    SLUICE_RETURN_IF_ERROR(SetSizes(args.symbols));
    for (size_t i = 0; i < inputs_.size(); ++i) views_[inputs_[i]] = args.inputs[i];
    for (size_t i = 0; i < states_.size(); ++i) views_[states_[i]].data = args.states[i]->host();
    for (Instruction& instruction : program_) Resolve(&instruction);
    return absl::OkStatus();
  }

  // Whether inputs and states lie where they did in the last run.
  bool HasData(const RunArgs& args) const {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const TensorView& input = args.inputs[i];
      if (views_[inputs_[i]].data != input.data || !input.slices.empty()) return false;
    }
    for (size_t i = 0; i < states_.size(); ++i) {
      if (views_[states_[i]].data != args.states[i]->host()) return false;
    }
    return true;
  }

  absl::Status SetSizes(const SymbolValues& symbols) {
    for (size_t i = 0; i < values_.size(); ++i) {
      if (values_[i]->kind() == Value::Kind::kWeight) continue;
      views_[i].dtype = values_[i]->type().dtype;
      SLUICE_ASSIGN_OR_RETURN(views_[i].dims, symbols.Evaluate(values_[i]->type().shape));
    }
    sizes_ = symbols;
    return absl::OkStatus();
  }

  // Gives the instruction its views; those before it have theirs.
  void Resolve(Instruction* instruction) {
    for (size_t i = 0; i < instruction->operands.size(); ++i) {
      const int index = instruction->operands[i];
      if (index >= 0) instruction->operand_views[i] = views_[static_cast<size_t>(index)];
    }
    for (size_t i = 0; i < instruction->results.size(); ++i) {
      TensorView& view = views_[static_cast<size_t>(instruction->results[i])];
      const int aliased = instruction->node->op().results[i].aliases;
      if (aliased >= 0) view.data = instruction->operand_views[static_cast<size_t>(aliased)].data;
      // A view lies where its source does.
      if (instruction->step == nullptr) view.data = instruction->operand_views.front().data;
      instruction->result_views[i] = view;
    }
  }

  absl::Status RunOne(const Instruction& instruction, RunObserver* observer) {
    const auto start = observer ? Clock::now() : Clock::time_point();
    if (instruction.step != nullptr) {
      absl::Status status = instruction.step->Run(
          {instruction.operand_views, instruction.result_views, threads_, instruction.scratch});
      if (!status.ok()) return AtNode(*instruction.node, status);
    }
    if (observer != nullptr) {
      const std::chrono::duration<double> elapsed = Clock::now() - start;
      observer->OnNode(*instruction.node, OperandsAsInFile(instruction), instruction.result_views,
                       elapsed.count());
    }
    return absl::OkStatus();
  }

  // Observers know dtypes, not layouts.
  std::vector<TensorView> OperandsAsInFile(const Instruction& instruction) const {
    std::vector<TensorView> views = instruction.operand_views;
    for (size_t i = 0; i < views.size(); ++i) {
      const auto view = file_views_.find(instruction.operands[i]);
      if (view != file_views_.end()) views[i] = view->second;
    }
    return views;
  }

  using Clock = std::chrono::steady_clock;

  Graph graph_;
  const Threads& threads_;
  MemoryUse memory_;
  std::vector<Instruction> program_;
  // One entry per value of the graph.
  absl::flat_hash_map<const Value*, int> index_;
  std::vector<const Value*> values_;
  std::vector<TensorView> views_;
  std::vector<size_t> inputs_, states_, outputs_;      // their indices
  std::vector<std::vector<const std::byte*>> slices_;  // of weights in pieces
  std::vector<std::shared_ptr<HostBuffer>> packed_;
  absl::flat_hash_map<int, TensorView> file_views_;  // of weights that are in packed_
  std::unique_ptr<HostBuffer> arena_, constants_;
  std::optional<SymbolValues> sizes_;  // that the views have; none before the first run
};

std::vector<CpuKernel> AllKernels() {
  std::vector<CpuKernel> kernels;
  cpu::AddLinearKernels(&kernels);
  cpu::AddMoeKernels(&kernels);
  cpu::AddNormRopeKernels(&kernels);
  cpu::AddAttentionKernels(&kernels);
  cpu::AddElementwiseKernels(&kernels);
  cpu::AddLayoutKernels(&kernels);
  cpu::AddSamplingKernels(&kernels);
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

#if defined(__x86_64__)
// Clang 14's __builtin_cpu_supports does not know it.
bool HasF16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

// The features that kernels ask for, named as in Linux's /proc/cpuinfo, but without underscores.
void AddFeatures(const std::vector<std::string>& without, proto::DeviceCaps* caps) {
  const auto add = [&](const char* name, bool is_there) {
    const bool is_wanted = std::find(without.begin(), without.end(), name) == without.end();
    if (is_there && is_wanted) caps->add_features(name);
  };
#if defined(__x86_64__)
  add("avx2", __builtin_cpu_supports("avx2"));
  add("f16c", HasF16c());
  add("fma", __builtin_cpu_supports("fma"));
  add("avx512f", __builtin_cpu_supports("avx512f"));
  add("avx512bw", __builtin_cpu_supports("avx512bw"));
  add("avx512vnni", __builtin_cpu_supports("avx512vnni"));
#endif
}

class CpuBackend : public Backend {
 public:
  explicit CpuBackend(const CpuOptions& options)
      : shared_(options.threads > 0 ? options.threads : cpu::UsableCpus()) {
    shared_.on_packed = options.on_packed;
    shared_.kernels = AllKernels();
    for (const CpuKernel& kernel : shared_.kernels) records_.Add(kernel.record);
    cpu::AddLayouts(&shared_.layouts);
    for (const CpuLayout& layout : shared_.layouts) records_.AddLayout(layout.record);
    proto::DeviceCaps& caps = shared_.caps;
    caps.set_backend("cpu");
    AddFeatures(options.without_features, &caps);
    caps.set_threads(shared_.threads.count());
    caps.set_memory_bytes(sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
    const long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
    caps.set_l2_bytes(l2 > 0 ? l2 : 256 * 1024);
  }
  absl::string_view name() const override { return "cpu"; }
  const proto::DeviceCaps& caps() const override { return shared_.caps; }
  const KernelSet* kernels() const override { return &records_; }

  absl::StatusOr<std::unique_ptr<Buffer>> Allocate(int64_t bytes) override {
    return HostBuffer::Create(bytes);
  }

  absl::StatusOr<std::unique_ptr<Executable>> Compile(Graph graph,
                                                      const WeightTable& weights) override {
    SLUICE_RETURN_IF_ERROR(VerifyCompiled(graph, *kernels(), caps()));  // what follows relies on it
    auto executable = std::make_unique<CpuExecutable>(std::move(graph), shared_.threads);
    SLUICE_RETURN_IF_ERROR(executable->Prepare(weights, &shared_));
    return executable;
  }

 private:
  Shared shared_;
  KernelSet records_;
};

}  // namespace

std::unique_ptr<Backend> MakeCpuBackend(const CpuOptions& options) {
  return std::make_unique<CpuBackend>(options);
}

}  // namespace sluice
