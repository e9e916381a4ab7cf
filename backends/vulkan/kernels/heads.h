// The shader heads.comp, which rope, qk_norm_rope, their appending form and kv_append share.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "backends/vulkan/lowering.h"

namespace sluice::vulkan {

// Heads of x [tokens,heads,width] on their way to y.
struct HeadsCall {
  Span x = {};
  Shape shape = {};
  // The norm.
  bool has_gain = false;
  Span gain = {};
  float eps = 0;
  // The rotation; without pairs there is none.
  uint32_t pairs = 0;
  bool neox = false, has_factors = false;
  float magnitude = 1;
  Span positions = {}, factors = {}, speeds = {};
  // Target 0: y is a tensor; else a cache, and 1 more than the number of its format (StoreInCache).
  uint32_t target = 0;
  Span y = {};
  Span slots = {};
  Size slot_count = {};
  uint32_t block_size = 1;
};
// One dispatch for up to three, the first of which is rotated if any is. Those that go to caches
// go to the same slots.
absl::Status AddHeads(absl::Span<const HeadsCall> calls, Lowering& out);

// Directs the heads into a cache, to the slots in `slots`.
void StoreInCache(const Operand& cache, const Operand& slots, HeadsCall* call, const Lowering& out);

// OK, or why the shader does not take heads as wide as these.
absl::Status CheckHeadWidth(const Value& heads);

}  // namespace sluice::vulkan
