#include "backends/vulkan/executable.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/program.h"
#include "backends/vulkan/record.h"
#include "backends/vulkan/shaders/errors.inc"
#include "backends/vulkan/staging.h"
#include "backends/vulkan/timestamps.h"
#include "graph/evaluate.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

absl::Status StatusOf(const ErrorSlot& error) {
  if (error.code == INDEX_ERROR) {
    return absl::OutOfRangeError(absl::StrCat("index ", error.value, " at position ",
                                              error.position, " is not in 0 to ", error.limit - 1));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("element ", error.position, " is not a number that it can use"));
}

class VulkanExecutable : public Executable {
 public:
  VulkanExecutable(Graph graph, Shared* shared) : graph_(std::move(graph)), shared_(*shared) {}
  ~VulkanExecutable() override { ForgetParts(); }

  absl::Status Prepare(const WeightTable& weights) {
    SLUICE_RETURN_IF_ERROR(BindWeights(weights));
    std::vector<int64_t> weight_bytes;
    for (const SharedWeight& weight : weights_) weight_bytes.push_back(weight->bytes);
    SLUICE_ASSIGN_OR_RETURN(compiled_, CompileProgram(graph_, weight_bytes, shared_));
    SLUICE_RETURN_IF_ERROR(Allocate());
    states_.resize(graph_.states().size());
    for (const Value* output : graph_.outputs()) {
      outputs_.emplace_back().dtype = output->type().dtype;
    }
    SLUICE_ASSIGN_OR_RETURN(Recording recording,
                            Recording::Create(*shared_.device, compiled_.program.commands));
    recording_.emplace(std::move(recording));
    FindCommands();
    return RunConstants();
  }

  const Graph& graph() const override { return graph_; }
  MemoryUse memory() const override { return memory_; }

  absl::Status Run(const RunArgs& args) override {
    SLUICE_RETURN_IF_ERROR(CheckRunArgs(graph_, args));
    SLUICE_RETURN_IF_ERROR(BindStates(args.states));
    const NodeRange nodes = {args.nodes.begin, std::min(args.nodes.end, graph_.nodes().size())};
    SLUICE_RETURN_IF_ERROR(Stage(args, nodes));
    Part& part = parts_[{nodes.begin, nodes.end}];
    if (args.observer == nullptr) {
      SLUICE_RETURN_IF_ERROR(Record(nodes, &part));
      return Replay(part.step);
    }
    const bool has_clock = shared_.device->info().timestamp_bits > 0;
    return has_clock && !args.observer->needs_values() ? RunTimed(nodes, args.observer, &part)
                                                       : RunObserved(args, nodes);
  }

 private:
  TensorView OutputView(size_t i) const override { return outputs_[i]; }

  // What is recorded of a step's nodes, or of some of them in a row.
  struct Part {
    VkCommandBuffer step = VK_NULL_HANDLE;
    // With a timestamp after each node; made for the first timed run.
    VkCommandBuffer timed_step = VK_NULL_HANDLE;
    std::vector<const Node*> timed_nodes;
    std::optional<Timestamps> timestamps;
  };

  // Puts sizes and inputs where the device takes them, and says where the outputs will be.
  absl::Status Stage(const RunArgs& args, const NodeRange& nodes) {
    SLUICE_ASSIGN_OR_RETURN(const bool is_moved, staging_->Reserve(nodes));
    if (is_moved) ForgetParts();
    SLUICE_RETURN_IF_ERROR(SetSizes(args.symbols));
    for (size_t i = 0; i < args.inputs.size(); ++i) {
      if (!staging_->IsTaken(i, nodes)) continue;
      Span place = compiled_.inputs[i];
      place.region = Region::kUpload;
      std::memcpy(staging_->HostOf(place), args.inputs[i].data,
                  static_cast<size_t>(args.inputs[i].bytes()));
    }
    for (size_t i = 0; i < outputs_.size(); ++i) {
      if (staging_->IsGiven(i, nodes)) outputs_[i].data = staging_->HostOf(compiled_.outputs[i]);
    }
    return absl::OkStatus();
  }

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
    SLUICE_ASSIGN_OR_RETURN(kept_, make(c.program.kept_bytes, MemoryKind::kDevice, "tables"));
    SLUICE_RETURN_IF_ERROR(shared_.transfer->Zero(*kept_));
    SLUICE_ASSIGN_OR_RETURN(inputs_, make(c.step_bytes, MemoryKind::kDevice, "inputs"));
    SLUICE_ASSIGN_OR_RETURN(errors_, make(c.error_bytes(), MemoryKind::kReadback, "errors"));
    std::memset(errors_->mapped(), 0, static_cast<size_t>(errors_->bytes()));
    staging_.emplace(*shared_.device, graph_, compiled_);
    SLUICE_RETURN_IF_ERROR(staging_->Reserve({0, 0}).status());
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
      case Region::kKept:
        return {kept_->get(), span.offset};
      case Region::kStep:
        return {inputs_->get(), span.offset};
      case Region::kUpload:
      case Region::kOutput:
        return staging_->Locate(span);
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

  // Where the commands of each node are.
  void FindCommands() {
    size_t command = 1;
    for (const auto& node : graph_.nodes()) {
      first_command_.push_back(command);
      while (command < recording_->size() && recording_->command(command).node == node.get()) {
        ++command;
      }
    }
    first_command_.push_back(command);
  }

  // Points the commands at these states, and forgets what was recorded for others. Sequences share
  // one cache, so that a session does it once.
  absl::Status BindStates(absl::Span<Buffer* const> states) {
    bool is_bound = is_bound_;
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
      is_bound = is_bound && states_[i] == state;
      states_[i] = state;
    }
    if (is_bound) return absl::OkStatus();
    ForgetParts();
    recording_->Bind(Locator());
    is_bound_ = true;
    return absl::OkStatus();
  }

  void ForgetParts() {
    for (const auto& [nodes, part] : parts_) {
      for (const VkCommandBuffer commands : {part.step, part.timed_step}) {
        if (commands != VK_NULL_HANDLE) shared_.device->Free(commands);
      }
    }
    parts_.clear();
  }

  // Where the nodes' commands begin; the first part of a step has the copy of sizes and inputs.
  size_t BeginOf(const NodeRange& nodes) const {
    return nodes.begin == 0 ? 0 : first_command_[nodes.begin];
  }

  absl::Status Record(const NodeRange& nodes, Part* part) {
    if (part->step != VK_NULL_HANDLE) return absl::OkStatus();
    SLUICE_ASSIGN_OR_RETURN(const VkCommandBuffer step, shared_.device->NewCommands());
    SLUICE_RETURN_IF_ERROR(BeginCommands(step, 0));
    const size_t begin = BeginOf(nodes), end = first_command_[nodes.end];
    recording_->Record(begin, end, Locator(), step);
    RecordHostBarrier(step);
    SLUICE_RETURN_IF_ERROR(
        Check(vkEndCommandBuffer(step), "cannot record a step of ", end - begin, " commands"));
    part->step = step;
    return absl::OkStatus();
  }

  absl::Status SetSymbols(const SymbolValues& symbols) {
    auto* words =
        reinterpret_cast<uint32_t*>(staging_->HostOf({.region = Region::kUpload, .offset = 0}));
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

  // --- Runs that are timed: the same commands, with a timestamp after each node ------------------

  absl::Status RunTimed(const NodeRange& nodes, RunObserver* observer, Part* part) {
    SLUICE_RETURN_IF_ERROR(RecordTimed(nodes, part));
    SLUICE_RETURN_IF_ERROR(Replay(part->timed_step));
    SLUICE_ASSIGN_OR_RETURN(const absl::Span<const double> seconds, part->timestamps->Intervals());
    for (size_t i = 0; i < seconds.size(); ++i) {
      observer->OnNode(*part->timed_nodes[i], {}, {}, seconds[i]);
    }
    return absl::OkStatus();
  }

  absl::Status RecordTimed(const NodeRange& nodes, Part* part) {
    if (part->timed_step != VK_NULL_HANDLE) return absl::OkStatus();
    part->timed_nodes.clear();
    std::vector<size_t> ends;  // of the nodes' commands
    for (size_t i = nodes.begin; i < nodes.end; ++i) {
      if (graph_.nodes()[i]->once()) continue;
      part->timed_nodes.push_back(graph_.nodes()[i].get());
      ends.push_back(first_command_[i + 1]);
    }
    SLUICE_ASSIGN_OR_RETURN(
        Timestamps timestamps,
        Timestamps::Create(*shared_.device, static_cast<uint32_t>(ends.size() + 1)));
    SLUICE_ASSIGN_OR_RETURN(const VkCommandBuffer step, shared_.device->NewCommands());
    SLUICE_RETURN_IF_ERROR(BeginCommands(step, 0));
    timestamps.RecordReset(step);
    size_t next = first_command_[nodes.begin];
    recording_->Record(BeginOf(nodes), next, Locator(), step);
    timestamps.Record(0, step);
    for (size_t i = 0; i < ends.size(); ++i) {
      const size_t begin = std::exchange(next, ends[i]);
      recording_->Record(begin, next, Locator(), step);
      timestamps.Record(static_cast<uint32_t>(i + 1), step);
    }
    RecordHostBarrier(step);
    SLUICE_RETURN_IF_ERROR(Check(vkEndCommandBuffer(step), "cannot record a timed step"));
    part->timestamps.emplace(std::move(timestamps));
    part->timed_step = step;
    return absl::OkStatus();
  }

  // --- Runs that somebody watches: node by node, with results brought to the host ---------------

  using Watched = absl::flat_hash_map<const Value*, TensorView>;

  absl::Status RunObserved(const RunArgs& args, const NodeRange& nodes) {
    Watched views;
    std::vector<std::vector<std::byte>> storage;
    for (size_t i = 0; i < weight_views_.size(); ++i) {
      views[graph_.weights()[i].get()] = weight_views_[i];
    }
    for (size_t i = 0; i < args.inputs.size(); ++i) {
      views[graph_.inputs()[i].get()] = args.inputs[i];
    }
    if (nodes.begin == 0) SLUICE_RETURN_IF_ERROR(RunNow(*recording_, 0, 1));
    for (size_t i = nodes.begin; i < nodes.end; ++i) {
      const Node& node = *graph_.nodes()[i];
      if (node.once()) continue;
      for (const Value* operand : node.operands()) {  // a state, a constant, of an earlier part
        if (operand == nullptr || views.contains(operand)) continue;
        SLUICE_RETURN_IF_ERROR(Fetch(*operand, args.symbols, &views, &storage));
      }
      const size_t begin = first_command_[i], end = first_command_[i + 1];
      const auto start = std::chrono::steady_clock::now();
      if (end > begin) SLUICE_RETURN_IF_ERROR(RunNow(*recording_, begin, end));
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      SLUICE_RETURN_IF_ERROR(CheckErrors());
      for (const auto& result : node.results()) {
        SLUICE_RETURN_IF_ERROR(Fetch(*result, args.symbols, &views, &storage));
      }
      Show(node, views, elapsed.count(), args.observer);
    }
    return absl::OkStatus();
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

  // The buffer that a value's place is in.
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
  std::unique_ptr<DeviceBuffer> arena_, constants_, tables_, kept_, inputs_, errors_;
  std::optional<Staging> staging_;
  std::vector<const StateBuffer*> states_;  // that the step is recorded with
  std::vector<TensorView> outputs_;
  std::optional<Recording> recording_;
  bool is_bound_ = false;                            // to states_
  std::vector<size_t> first_command_;                // by node, and one for the end
  std::map<std::pair<size_t, size_t>, Part> parts_;  // by begin and end of their nodes
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executable>> MakeExecutable(Graph graph, const WeightTable& weights,
                                                           Shared* shared) {
  auto executable = std::make_unique<VulkanExecutable>(std::move(graph), shared);
  SLUICE_RETURN_IF_ERROR(executable->Prepare(weights));
  return executable;
}

}  // namespace sluice::vulkan
