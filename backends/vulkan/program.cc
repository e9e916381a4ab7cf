#include "backends/vulkan/program.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/formats.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

class Compiler {
 public:
  // Without `pipelines`, commands name none.
  Compiler(const Graph& graph, const Shared& shared, PipelineCache* pipelines)
      : graph_(graph), bounds_(graph.Bounds()), shared_(shared), pipelines_(pipelines) {}

  absl::StatusOr<CompiledProgram> Run(const std::vector<int64_t>& weight_bytes) && {
    for (size_t i = 0; i < weight_bytes.size(); ++i) {
      places_[graph_.weights()[i].get()] = {
          .region = Region::kWeight, .index = static_cast<uint32_t>(i), .bytes = weight_bytes[i]};
    }
    SLUICE_RETURN_IF_ERROR(PlaceSources());
    SLUICE_RETURN_IF_ERROR(PlaceOutputs());
    AddStepCopy();
    for (const auto& node : graph_.nodes()) {
      absl::Status status = PlaceResults(*node);
      if (status.ok()) status = Lower(*node);
      if (status.ok()) status = AddOutputs(*node);
      if (!status.ok()) return AtNode(*node, status);
    }
    SplitOnce();
    for (std::vector<Command>* commands : {&result_.program.commands, &result_.once}) {
      PlaceBarriers(commands);
      SLUICE_RETURN_IF_ERROR(CheckHazards(*commands));
    }
    return std::move(result_);
  }

 private:
  absl::Status PlaceSources() {
    for (size_t i = 0; i < graph_.states().size(); ++i) {
      const Value* state = graph_.states()[i].get();
      Span& span = places_[state];
      span = {.region = Region::kState, .index = static_cast<uint32_t>(i)};
      SLUICE_ASSIGN_OR_RETURN(span.bytes, bounds_.EvaluateBytes(state->type()));
    }
    result_.inputs.resize(graph_.inputs().size());
    int64_t end = kSymbolBytes;
    SLUICE_RETURN_IF_ERROR(PlaceInputs(Region::kStep, &end));
    result_.step_bytes = end;
    return PlaceInputs(Region::kUpload, &end);
  }

  // The step's own inputs, or those from other devices: they come later, and transfers read them
  // where the host writes them.
  absl::Status PlaceInputs(Region region, int64_t* end) {
    for (size_t i = 0; i < result_.inputs.size(); ++i) {
      const Value* input = graph_.inputs()[i].get();
      if ((region == Region::kUpload) != IsFromAnotherDevice(*input)) continue;
      SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, bounds_.EvaluateBytes(input->type()));
      result_.inputs[i] = {.region = region, .offset = *end, .bytes = bytes};
      places_[input] = result_.inputs[i];
      *end = AlignBinding(*end + bytes);
    }
    return absl::OkStatus();
  }

  absl::Status PlaceOutputs() {
    result_.outputs.resize(graph_.outputs().size());
    int64_t end = 0;
    for (const bool is_once : {true, false}) {
      for (const auto& node : graph_.nodes()) {
        if (node->once() == is_once) SLUICE_RETURN_IF_ERROR(PlaceOutputsOf(*node, &end));
      }
      if (is_once) result_.once_bytes = end;
    }
    return absl::OkStatus();
  }

  absl::Status PlaceOutputsOf(const Node& node, int64_t* end) {
    for (size_t i = 0; i < result_.outputs.size(); ++i) {
      const Value* output = graph_.outputs()[i];
      if (output->producer() != &node) continue;
      SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, bounds_.EvaluateBytes(output->type()));
      result_.outputs[i] = {.region = Region::kOutput, .offset = *end, .bytes = bytes};
      *end = AlignBinding(*end + bytes);
    }
    return absl::OkStatus();
  }

  // Sizes and inputs, from where the host writes them to where shaders read them fast.
  void AddStepCopy() {
    const Span step = {.region = Region::kStep, .bytes = result_.step_bytes};
    Span upload = step;
    upload.region = Region::kUpload;
    result_.program.commands.push_back(
        {.is_copy = true, .bindings = {Reads(upload), Writes(step)}});
  }

  absl::Status PlaceResults(const Node& node) {
    for (size_t i = 0; i < node.results().size(); ++i) {
      const Value* result = node.result(i);
      const int aliased = node.op().is_view && i == 0 ? 0 : node.op().results[i].aliases;
      if (aliased >= 0) {
        const Span place = places_.at(node.operand(static_cast<size_t>(aliased)));
        places_[result] = place;  // which may move what the map holds
        continue;
      }
      SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, bounds_.EvaluateBytes(result->type()));
      if (bytes > std::numeric_limits<uint32_t>::max()) {
        return absl::UnimplementedError(absl::StrCat("its result has ", bytes,
                                                     " bytes, shaders count to ",
                                                     std::numeric_limits<uint32_t>::max()));
      }
      const MemSpan& mem = *result->mem();
      const Region region = mem.region == "act" ? Region::kArena : Region::kConstants;
      places_[result] = {.region = region, .offset = mem.offset, .bytes = bytes};
      Reserve(mem);
    }
    if (node.scratch().has_value()) Reserve(*node.scratch());
    return absl::OkStatus();
  }

  // Makes the span's region large enough.
  void Reserve(const MemSpan& span) {
    int64_t& end = span.region == "act" ? result_.arena_bytes : result_.constant_bytes;
    end = std::max(end, span.offset + span.bytes);
  }

  absl::Status Lower(const Node& node) {
    if (node.op().is_view) return absl::OkStatus();
    const auto kernel =
        std::find_if(shared_.kernels.begin(), shared_.kernels.end(),
                     [&](const VulkanKernel& k) { return k.record.name == node.kernel(); });
    Lowering lowering(graph_, node, shared_.device->info(), pipelines_, &result_.program);
    return kernel->lower(lowering);
  }

  // Outputs are brought back where they are made: they may be wanted before the step is over.
  absl::Status AddOutputs(const Node& node) {
    for (size_t i = 0; i < graph_.outputs().size(); ++i) {
      const Value* output = graph_.outputs()[i];
      if (output->producer() != &node) continue;
      const Span from = places_.at(output), to = result_.outputs[i];
      if (from.bytes != to.bytes) {
        return absl::UnimplementedError(absl::StrCat("the output ", output->ref(),
                                                     " is a weight that is decoded on the device"));
      }
      result_.program.commands.push_back(
          {.node = &node, .is_copy = true, .bindings = {Reads(from), Writes(to)}});
    }
    return absl::OkStatus();
  }

  void SplitOnce() {
    std::vector<Command>& commands = result_.program.commands;
    const auto is_step = [](const Command& c) { return c.node == nullptr || !c.node->once(); };
    const auto once = std::stable_partition(commands.begin(), commands.end(), is_step);
    if (once == commands.end()) return;
    result_.once.push_back(commands.front());  // the sizes
    result_.once.insert(result_.once.end(), once, commands.end());
    commands.erase(once, commands.end());
  }

  const Graph& graph_;
  const SymbolValues bounds_;
  const Shared& shared_;
  PipelineCache* const pipelines_;
  CompiledProgram result_;
  absl::flat_hash_map<const Value*, Span>& places_ = result_.program.places;
};

}  // namespace

bool IsFromAnotherDevice(const Value& input) {
  return !input.uses().empty() &&
         std::all_of(input.uses().begin(), input.uses().end(),
                     [](const Use& use) { return use.node->op().is_transfer; });
}

absl::StatusOr<CompiledProgram> CompileProgram(const Graph& graph,
                                               const std::vector<int64_t>& weight_bytes,
                                               const Shared& shared) {
  return Compiler(graph, shared, shared.pipelines.get()).Run(weight_bytes);
}

absl::StatusOr<std::vector<StepWork>> ScheduleOf(const Graph& graph, const Shared& shared) {
  const SymbolValues bounds = graph.Bounds();
  std::vector<int64_t> weight_bytes;
  for (const auto& weight : graph.weights()) {
    TensorType stored = weight->type();
    stored.dtype = StoredAs(stored.dtype);
    SLUICE_ASSIGN_OR_RETURN(weight_bytes.emplace_back(), bounds.EvaluateBytes(stored));
  }
  SLUICE_ASSIGN_OR_RETURN(const CompiledProgram compiled,
                          Compiler(graph, shared, nullptr).Run(weight_bytes));
  std::vector<StepWork> schedule;
  for (const Command& command : compiled.program.commands) {
    if (schedule.empty() || schedule.back().node != command.node) {
      schedule.push_back({.node = command.node});
    }
    StepWork& work = schedule.back();
    ++(command.is_copy ? work.copies : work.dispatches);
    if (command.barrier_before) ++work.barriers;
  }
  return schedule;
}

}  // namespace sluice::vulkan
