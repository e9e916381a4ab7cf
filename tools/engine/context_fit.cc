#include "tools/engine/context_fit.h"

#include <algorithm>

#include "graph/status_macros.h"
#include "passes/memory_plan.h"

namespace sluice::tools {
namespace {

absl::StatusOr<MemoryPlan> PlanAt(const Model& model, DecoderOptions options, int64_t context) {
  options.context = context;
  SLUICE_ASSIGN_OR_RETURN(const Graph graph, model.BuildGraph(options));
  return MemoryPlanOf(graph);
}

}  // namespace

absl::StatusOr<MachineMemory> MemoryOf(const Backend& backend) {
  if (backend.name() == "vulkan" && backend.caps().memory_bytes() > 0) {
    return MachineMemory{backend.caps().memory_bytes(), "memory of the device"};
  }
  return ReadMachineMemory();
}

absl::StatusOr<ContextFit> FitContext(const Model& model, DecoderOptions options,
                                      const MachineMemory& memory, int64_t least) {
  constexpr int64_t kStep = 256;  // tokens: a number that people can remember
  const int64_t own = model.config().context_length;
  SLUICE_ASSIGN_OR_RETURN(const MemoryPlan whole, PlanAt(model, options, own));
  const int64_t left =
      std::max<int64_t>(0, memory.available - whole.weights - whole.activations) / 2;
  ContextFit fit = {.context = own, .own = own, .cache_bytes = whole.states};
  if (whole.states <= left || own <= least) return fit;
  // A cache may have a part that does not grow.
  SLUICE_ASSIGN_OR_RETURN(const MemoryPlan none, PlanAt(model, options, options.block_size));
  const double part = static_cast<double>(std::max<int64_t>(0, left - none.states)) /
                      static_cast<double>(whole.states - none.states);
  const auto fitting = static_cast<int64_t>(part * static_cast<double>(own));
  fit.context = std::max(least, fitting / kStep * kStep);
  SLUICE_ASSIGN_OR_RETURN(const MemoryPlan plan, PlanAt(model, options, fit.context));
  fit.cache_bytes = plan.states;
  fit.limited_by = memory.limited_by;
  return fit;
}

}  // namespace sluice::tools
