// A pass: a function that rewrites a graph, and the record that describes it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "backends/placement.h"
#include "graph/graph.h"
#include "graph/low_rank_update.h"
#include "proto/device.pb.h"

namespace sluice {

// Weights that prepack_weights has given a layout, for all executables of a session.
struct PackPlan {
  int64_t budget = 0;                          // bytes that packed weights may take
  int64_t used = 0;                            // of those
  std::map<std::string, std::string> layouts;  // of weights, by name
};

// What a pass may know of the world. Pointers outlive the run.
struct CompileContext {
  const proto::DeviceCaps* caps = nullptr;  // the target; nullptr: passes for every target only
  const KernelSet* kernels = nullptr;       // nullptr: the target runs ops as they are

  // What the pass `place` goes by. A node with a device is for that device's backend (TargetOf in
  // kernel_choice.h); caps and kernels stand for all devices. nullptr: there is but one target.
  const Placement* placement = nullptr;

  // Upper bounds of symbols that the executable is for; specialise applies them. Empty: those that
  // the graph has.
  SymbolValues bucket = {};

  // nullptr: weights stay as they are in the file.
  PackPlan* packs = nullptr;

  // What add_lora adds. Updates of the same weight add up.
  absl::Span<const LowRankUpdate> updates = {};

  // Receives "<node or weight>: <why it was left as it is>"; empty: nobody asks.
  std::function<void(const std::string&)> explain = {};
};

// How far a graph is decided. Each stage stands on those before it: kernels are for nodes, and
// places in memory are for what those kernels make and need.
enum class Stage : uint8_t { kNodes, kKernels, kPlaces };

struct Pass {
  absl::string_view name;     // "fuse_gate_up"
  absl::string_view summary;  // one line for --help and docs
  // Returns whether the graph changed. Passes keep no state between runs.
  absl::StatusOr<bool> (*run)(Graph& graph, const CompileContext& context);

  // The stage that the graph must have reached, and the one that it is at afterwards. What it had
  // beyond that does not fit any more.
  Stage needs = Stage::kNodes;
  Stage gives = Stage::kNodes;
};

}  // namespace sluice
