// What a step does on the device, as data: dispatches and copies in order, each with the bytes that
// it reads and writes, and the barriers that follow from those. Knows no Vulkan object but the
// pipeline that a dispatch names, so that it is tested without a device.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "backends/vulkan/pipeline.h"
#include "graph/graph.h"

namespace sluice::vulkan {

// Memory that an executable knows. Bytes of different regions, and of different indices of one
// region, never overlap.
enum class Region : uint8_t {
  kArena,      // activations and scratch memory
  kConstants,  // results of nodes that run once
  kTables,     // numbers that kernels prepare when the graph is compiled
  kKept,       // what nodes keep from step to step; zeros when the graph is compiled
  kStep,       // sizes and inputs of this step
  kUpload,     // the same where the host writes them
  kOutput,     // the graph's outputs where the host reads them
  kErrors,     // what shaders have to say to the host
  kWeight,     // index: of the weight in the graph
  kState,      // index: of the state in the graph
};

struct Span {
  Region region = Region::kArena;
  uint32_t index = 0;
  int64_t offset = 0;
  int64_t bytes = 0;
};
bool Overlap(const Span& a, const Span& b);

enum class Access : uint8_t { kRead, kWrite };

struct Binding {
  Span span;
  Access access = Access::kRead;
};
inline Binding Reads(const Span& span) { return {span, Access::kRead}; }
inline Binding Writes(const Span& span) { return {span, Access::kWrite}; }

// One dispatch, or a copy from binding 0 to binding 1.
struct Command {
  const Node* node = nullptr;  // that it is for; nullptr: the inputs
  bool is_copy = false;
  const Pipeline* pipeline = nullptr;  // of a dispatch, unless nobody will run it
  std::vector<Binding> bindings;
  std::vector<uint32_t> push;
  std::array<uint32_t, 3> groups = {1, 1, 1};
  // Whether what was begun since the last barrier must be done, and seen, before this one begins.
  bool barrier_before = false;
};

// Sets barrier_before where a command conflicts with one since the last barrier, and nowhere else:
// commands that do not depend on each other share a barrier and may run together.
void PlaceBarriers(std::vector<Command>* commands);

// Internal, with both commands, where two commands conflict (one writes what the other reads or
// writes) and no barrier is between them. Looks at every pair: an independent check of the above.
absl::Status CheckHazards(absl::Span<const Command> commands);

}  // namespace sluice::vulkan
