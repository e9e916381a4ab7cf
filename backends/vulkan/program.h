// The whole of a graph as commands: places for every value, and each node lowered by its kernel.
#pragma once

#include "absl/status/statusor.h"
#include "backends/vulkan/executable.h"

namespace sluice::vulkan {

// The commands of a graph in two lists, with barriers, and how much memory they need.
struct CompiledProgram {
  Program program;            // of which `commands` are those of a step
  std::vector<Command> once;  // for nodes that run when the graph is loaded
  // The step's own inputs are in Region::kStep; those from other devices are in Region::kUpload,
  // behind the step's; outputs are in Region::kOutput. Values from and for other devices are in the
  // order of the nodes that take and make them: those of a part are side by side (Staging).
  std::vector<Span> inputs, outputs;
  int64_t arena_bytes = 0, constant_bytes = 0, step_bytes = 0;
  int64_t once_bytes = 0;  // of outputs of nodes that run once; they come first

  int64_t table_bytes() const { return static_cast<int64_t>(program.tables.size() * 4); }
  int64_t error_bytes() const {
    return static_cast<int64_t>(program.error_slots.size()) * kErrorSlotBytes;
  }
};

// Whether only transfers read the input (OpDef::is_transfer).
bool IsFromAnotherDevice(const Value& input);

// `weight_bytes` are those on the device.
absl::StatusOr<CompiledProgram> CompileProgram(const Graph& graph,
                                               const std::vector<int64_t>& weight_bytes,
                                               const Shared& shared);

// The program of a step in figures, without a pipeline being made.
absl::StatusOr<std::vector<StepWork>> ScheduleOf(const Graph& graph, const Shared& shared);

}  // namespace sluice::vulkan
