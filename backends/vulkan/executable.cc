#include "backends/vulkan/executable.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/program.h"
#include "backends/vulkan/record.h"
#include "backends/vulkan/timestamps.h"
#include "graph/evaluate.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

// What a shader may write into its error slot (shaders/common.glsl).
struct ErrorSlot {
  uint32_t code;  // 0: none
  int32_t value;
  uint32_t position;
  int32_t limit;
};
constexpr uint32_t kIndexError = 1;

absl::Status StatusOf(const ErrorSlot& error) {
  if (error.code == kIndexError) {
    return absl::OutOfRangeError(absl::StrCat("index ", error.value, " at position ",
                                              error.position, " is not in 0 to ", error.limit - 1));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("element ", error.position, " is not a number that it can use"));
}

class VulkanExecutable : public Executable {
 public:
  VulkanExecutable(Graph graph, Shared* shared) : graph_(std::move(graph)), shared_(*shared) {}
  ~VulkanExecutable() override {
    for (const VkCommandBuffer commands : {step_, timed_step_}) {
      if (commands != VK_NULL_HANDLE) shared_.device->Free(commands);
    }
  }

  absl::Status Prepare(const WeightTable& weights) {
    SLUICE_RETURN_IF_ERROR(BindWeights(weights));
    std::vector<int64_t> weight_bytes;
    for (const SharedWeight& weight : weights_) weight_bytes.push_back(weight->bytes);
    SLUICE_ASSIGN_OR_RETURN(compiled_, CompileProgram(graph_, weight_bytes, &shared_));
    SLUICE_RETURN_IF_ERROR(Allocate());
    states_.resize(graph_.states().size());
    for (const Value* output : graph_.outputs()) {
      outputs_.emplace_back().dtype = output->type().dtype;
    }
    for (size_t i = 0; i < outputs_.size(); ++i) {
      outputs_[i].data = output_->mapped() + compiled_.outputs[i].offset;
    }
    SLUICE_ASSIGN_OR_RETURN(step_, shared_.device->NewCommands());
    SLUICE_ASSIGN_OR_RETURN(Recording recording,
                            Recording::Create(*shared_.device, compiled_.program.commands));
    recording_.emplace(std::move(recording));
    return RunConstants();
  }

  const Graph& graph() const override { return graph_; }
  MemoryUse memory() const override { return memory_; }
  TensorView output(size_t i) const override { return outputs_[i]; }

  absl::Status Run(const RunArgs& args) override {
    SLUICE_RETURN_IF_ERROR(CheckRunArgs(graph_, args));
    SLUICE_RETURN_IF_ERROR(BindStates(args.states));
    SLUICE_RETURN_IF_ERROR(SetSizes(args.symbols));
    for (size_t i = 0; i < args.inputs.size(); ++i) {
      std::memcpy(upload_->mapped() + compiled_.inputs[i].offset, args.inputs[i].data,
                  static_cast<size_t>(args.inputs[i].bytes()));
    }
    if (args.observer == nullptr) return Replay(step_);
    const bool has_clock = shared_.device->info().timestamp_bits > 0;
    return has_clock && !args.observer->needs_values() ? RunTimed(args.observer)
                                                       : RunObserved(args);
  }

 private:
  absl::Status Replay(VkCommandBuffer step) {
    SLUICE_ASSIGN_OR_RETURN(const uint64_t point, shared_.device->Submit(step));
    SLUICE_RETURN_IF_ERROR(shared_.device->Wait(point));
    return CheckErrors();
  }

  absl::Status BindWeights(const WeightTable& table) {
    slices_.resize(graph_.weights().size());
    for (size_t i = 0; i < slices_.size(); ++i) {
      SLUICE_ASSIGN_OR_RETURN(weight_views_.emplace_back(),
                              BindWeight(*graph_.weights()[i], table, &slices_[i]));
    }
    SLUICE_ASSIGN_OR_RETURN(weights_, shared_.weights->Get(graph_, weight_views_));
    for (const SharedWeight& weight : weights_) memory_.weights += weight->bytes;
    return absl::OkStatus();
  }

  absl::Status Allocate() {
    const auto make = [&](int64_t bytes, MemoryKind kind, const char* what) {
      return DeviceBuffer::Create(*shared_.device, bytes, kind, what);
    };
    const CompiledProgram& c = compiled_;
    memory_.arena = c.arena_bytes;
    memory_.constants = c.constant_bytes;
    SLUICE_ASSIGN_OR_RETURN(arena_, make(c.arena_bytes, MemoryKind::kDevice, "activations"));
    SLUICE_ASSIGN_OR_RETURN(constants_, make(c.constant_bytes, MemoryKind::kDevice, "constants"));
    SLUICE_ASSIGN_OR_RETURN(tables_, make(c.table_bytes(), MemoryKind::kDevice, "tables"));
    SLUICE_ASSIGN_OR_RETURN(inputs_, make(c.step_bytes, MemoryKind::kDevice, "inputs"));
    SLUICE_ASSIGN_OR_RETURN(upload_, make(c.step_bytes, MemoryKind::kUpload, "inputs"));
    SLUICE_ASSIGN_OR_RETURN(output_, make(c.output_bytes, MemoryKind::kReadback, "outputs"));
    SLUICE_ASSIGN_OR_RETURN(errors_, make(c.error_bytes(), MemoryKind::kReadback, "errors"));
    std::memset(errors_->mapped(), 0, static_cast<size_t>(errors_->bytes()));
    std::memset(upload_->mapped(), 0, static_cast<size_t>(upload_->bytes()));
    const std::vector<uint32_t>& tables = c.program.tables;
    return shared_.transfer->Upload(
        {reinterpret_cast<const std::byte*>(tables.data()), tables.size() * sizeof(uint32_t)},
        *tables_, 0);
  }

  Location LocationOf(const Span& span) const {
    switch (span.region) {
      case Region::kArena:
        return {arena_->get(), span.offset};
      case Region::kConstants:
        return {constants_->get(), span.offset};
      case Region::kTables:
        return {tables_->get(), span.offset};
      case Region::kStep:
        return {inputs_->get(), span.offset};
      case Region::kUpload:
        return {upload_->get(), span.offset};
      case Region::kOutput:
        return {output_->get(), span.offset};
      case Region::kErrors:
        return {errors_->get(), span.offset};
      case Region::kWeight:
        return {weights_[span.index]->chunk->get(), weights_[span.index]->offset + span.offset};
      case Region::kState:
        return {states_[span.index]->device().get(), span.offset};
    }
    return {};
  }
  Locate Locator() const {
    return [this](const Span& span) { return LocationOf(span); };
  }

  absl::Status RunConstants() {
    SLUICE_RETURN_IF_ERROR(SetSymbols({}));
    if (compiled_.once.empty()) return absl::OkStatus();
    SLUICE_ASSIGN_OR_RETURN(Recording recording,
                            Recording::Create(*shared_.device, compiled_.once));
    recording.Bind(Locator());
    SLUICE_RETURN_IF_ERROR(RunNow(recording, 0, recording.size()));
    return CheckErrors();
  }

  // Records and runs a range of commands by themselves.
  absl::Status RunNow(const Recording& recording, size_t begin, size_t end) {
    SLUICE_ASSIGN_OR_RETURN(OneTimeCommands commands, OneTimeCommands::Begin(*shared_.device));
    recording.Record(begin, end, Locator(), commands.get());
    RecordHostBarrier(commands.get());
    return commands.Finish();
  }

  // Records the step for these states, unless that is done. Sequences share one cache, so that a
  // session never does it twice.
  absl::Status BindStates(absl::Span<Buffer* const> states) {
    bool is_recorded = is_recorded_;
    for (size_t i = 0; i < states.size(); ++i) {
      const auto* state = dynamic_cast<const StateBuffer*>(states[i]);
      if (state == nullptr) {
        return absl::InvalidArgumentError(
            absl::StrCat("state ", graph_.states()[i]->ref(), " is not from this backend"));
      }
      if (std::find(states.begin(), states.begin() + static_cast<ptrdiff_t>(i), states[i]) !=
          states.begin() + static_cast<ptrdiff_t>(i)) {
        return absl::InvalidArgumentError(
            absl::StrCat("state ", graph_.states()[i]->ref(), " has the buffer of another state"));
      }
      is_recorded = is_recorded && states_[i] == state;
      states_[i] = state;
    }
    if (is_recorded) return absl::OkStatus();
    is_recorded_ = is_timed_recorded_ = false;
    recording_->Bind(Locator());
    SLUICE_RETURN_IF_ERROR(BeginCommands(step_, 0));
    recording_->Record(0, recording_->size(), Locator(), step_);
    RecordHostBarrier(step_);
    SLUICE_RETURN_IF_ERROR(Check(vkEndCommandBuffer(step_), "cannot record a step of ",
                                 recording_->size(), " commands"));
    is_recorded_ = true;
    return absl::OkStatus();
  }

  absl::Status SetSymbols(const SymbolValues& symbols) {
    auto* words = reinterpret_cast<uint32_t*>(upload_->mapped());
    *words++ = 1;
    for (const SymbolDef& symbol : graph_.symbols()) {
      *words++ = static_cast<uint32_t>(std::max<int64_t>(0, symbols.Get(symbol.name)));
    }
    return absl::OkStatus();
  }

  absl::Status SetSizes(const SymbolValues& symbols) {
    for (size_t i = 0; i < outputs_.size(); ++i) {
      SLUICE_ASSIGN_OR_RETURN(outputs_[i].dims,
                              symbols.Evaluate(graph_.outputs()[i]->type().shape));
    }
    return SetSymbols(symbols);
  }

  absl::Status CheckErrors() {
    auto* slots = reinterpret_cast<ErrorSlot*>(errors_->mapped());
    constexpr size_t kStride = kErrorSlotBytes / sizeof(ErrorSlot);
    absl::Status status;
    for (size_t i = 0; i < compiled_.program.error_slots.size(); ++i) {
      ErrorSlot& slot = slots[i * kStride];
      if (slot.code == 0) continue;
      if (status.ok()) status = AtNode(*compiled_.program.error_slots[i], StatusOf(slot));
      slot = {};
    }
    return status;
  }

  // Where the node's commands end that begin at `begin`.
  size_t EndOf(const Node& node, size_t begin) const {
    size_t end = begin;
    while (end < recording_->size() && recording_->command(end).node == &node) ++end;
    return end;
  }

  // --- Runs that are timed: the same commands, with a timestamp after each node ------------------

  absl::Status RunTimed(RunObserver* observer) {
    SLUICE_RETURN_IF_ERROR(RecordTimed());
    SLUICE_RETURN_IF_ERROR(Replay(timed_step_));
    SLUICE_ASSIGN_OR_RETURN(const absl::Span<const double> seconds, timestamps_->Intervals());
    for (size_t i = 0; i < timed_nodes_.size(); ++i) {
      observer->OnNode(*timed_nodes_[i], {}, {}, seconds[i]);
    }
    return absl::OkStatus();
  }

  absl::Status RecordTimed() {
    if (is_timed_recorded_) return absl::OkStatus();
    if (timed_step_ == VK_NULL_HANDLE) {
      for (const auto& node : graph_.nodes()) {
        if (!node->once()) timed_nodes_.push_back(node.get());
      }
      SLUICE_ASSIGN_OR_RETURN(
          Timestamps timestamps,
          Timestamps::Create(*shared_.device, static_cast<uint32_t>(timed_nodes_.size() + 1)));
      timestamps_.emplace(std::move(timestamps));
      SLUICE_ASSIGN_OR_RETURN(timed_step_, shared_.device->NewCommands());
    }
    SLUICE_RETURN_IF_ERROR(BeginCommands(timed_step_, 0));
    timestamps_->RecordReset(timed_step_);
    size_t next = 1;
    recording_->Record(0, next, Locator(), timed_step_);
    timestamps_->Record(0, timed_step_);
    for (size_t i = 0; i < timed_nodes_.size(); ++i) {
      const size_t begin = std::exchange(next, EndOf(*timed_nodes_[i], next));
      recording_->Record(begin, next, Locator(), timed_step_);
      timestamps_->Record(static_cast<uint32_t>(i + 1), timed_step_);
    }
    recording_->Record(next, recording_->size(), Locator(), timed_step_);
    RecordHostBarrier(timed_step_);
    SLUICE_RETURN_IF_ERROR(Check(vkEndCommandBuffer(timed_step_), "cannot record a timed step"));
    is_timed_recorded_ = true;
    return absl::OkStatus();
  }

  // --- Runs that somebody watches: node by node, with results brought to the host ---------------

  using Watched = absl::flat_hash_map<const Value*, TensorView>;

  absl::Status RunObserved(const RunArgs& args) {
    Watched views;
    std::vector<std::vector<std::byte>> storage;
    for (size_t i = 0; i < weight_views_.size(); ++i) {
      views[graph_.weights()[i].get()] = weight_views_[i];
    }
    for (size_t i = 0; i < args.inputs.size(); ++i) {
      views[graph_.inputs()[i].get()] = args.inputs[i];
    }
    for (const auto& state : graph_.states()) {
      SLUICE_RETURN_IF_ERROR(Fetch(*state, args.symbols, &views, &storage));
    }
    size_t next = 1;
    SLUICE_RETURN_IF_ERROR(RunNow(*recording_, 0, next));
    for (const auto& node : graph_.nodes()) {
      const size_t begin = next;
      next = EndOf(*node, begin);
      const auto start = std::chrono::steady_clock::now();
      if (next > begin) SLUICE_RETURN_IF_ERROR(RunNow(*recording_, begin, next));
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      SLUICE_RETURN_IF_ERROR(CheckErrors());
      for (const auto& result : node->results()) {
        SLUICE_RETURN_IF_ERROR(Fetch(*result, args.symbols, &views, &storage));
      }
      if (!node->once()) Show(*node, views, elapsed.count(), args.observer);
    }
    return RunNow(*recording_, next, recording_->size());
  }

  // Puts what the value's place holds now into `views`.
  absl::Status Fetch(const Value& value, const SymbolValues& symbols, Watched* views,
                     std::vector<std::vector<std::byte>>* storage) {
    const Span place = compiled_.program.places.at(&value);
    SLUICE_ASSIGN_OR_RETURN(TensorView view, ViewOf(value.type(), symbols));
    std::vector<std::byte>& bytes = storage->emplace_back(static_cast<size_t>(view.bytes()));
    const DeviceBuffer& buffer = BufferOf(place);
    SLUICE_RETURN_IF_ERROR(
        shared_.transfer->Download(buffer, LocationOf(place).offset, absl::MakeSpan(bytes)));
    view.data = bytes.data();
    (*views)[&value] = view;
    return absl::OkStatus();
  }

  // Of a value's place.
  const DeviceBuffer& BufferOf(const Span& place) const {
    switch (place.region) {
      case Region::kConstants:
        return *constants_;
      case Region::kStep:
        return *inputs_;
      case Region::kWeight:
        return *weights_[place.index]->chunk;
      case Region::kState:
        return states_[place.index]->device();
      default:
        return *arena_;
    }
  }

  static void Show(const Node& node, const Watched& views, double seconds, RunObserver* observer) {
    std::vector<TensorView> operands, results;
    for (const Value* operand : node.operands()) {
      operands.push_back(operand != nullptr ? views.at(operand) : TensorView{});
    }
    for (const auto& result : node.results()) results.push_back(views.at(result.get()));
    observer->OnNode(node, operands, results, seconds);
  }

  Graph graph_;
  Shared& shared_;
  MemoryUse memory_;
  std::vector<std::vector<const std::byte*>> slices_;  // of weights in pieces
  std::vector<TensorView> weight_views_;               // as in the file
  std::vector<SharedWeight> weights_;
  CompiledProgram compiled_;
  std::unique_ptr<DeviceBuffer> arena_, constants_, tables_, inputs_, upload_, output_, errors_;
  std::vector<const StateBuffer*> states_;  // that the step is recorded with
  std::vector<TensorView> outputs_;
  std::optional<Recording> recording_;
  VkCommandBuffer step_ = VK_NULL_HANDLE;
  bool is_recorded_ = false;
  // Of timed runs; made for the first.
  std::vector<const Node*> timed_nodes_;
  std::optional<Timestamps> timestamps_;
  VkCommandBuffer timed_step_ = VK_NULL_HANDLE;
  bool is_timed_recorded_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executable>> MakeExecutable(Graph graph, const WeightTable& weights,
                                                           Shared* shared) {
  auto executable = std::make_unique<VulkanExecutable>(std::move(graph), shared);
  SLUICE_RETURN_IF_ERROR(executable->Prepare(weights));
  return executable;
}

}  // namespace sluice::vulkan
