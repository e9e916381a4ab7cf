// A router in one dispatch: logits of up to COLUMNS tokens, a subgroup an expert; the workgroup
// that is done last with them chooses. Who that is, a counter for each group of tokens tells; the
// last one sets it back to 0, where the next step expects it.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "router.inc"
#include "quant.glsl"
#include "errors.glsl"

layout(local_size_x = VECTOR_INVOCATIONS) in;
#include "x.glsl"
layout(std430, binding = logits_binding) coherent buffer Logits { float logits[]; };
layout(std430, binding = done_binding) coherent buffer Done { uint done[]; };

#include "topk.glsl"

void MultiplyRow(uint expert, uint first, uint count) {
  float sums[COLUMNS];
  for (uint c = 0; c < COLUMNS; ++c) sums[c] = 0;
  const uint groups = GroupsInRow();
  for (uint group = gl_SubgroupInvocationID; group < groups; group += gl_SubgroupSize) {
    vec4 w[4];
    Decode16(0, expert * row_bytes, group, w);
    for (uint c = 0; c < COLUMNS; ++c) {
      if (c >= count) break;
      for (uint j = 0; j < QuadsIn(group); ++j) {
        sums[c] += dot(w[j], QuadOfX(first + c, 4 * group + j));
      }
    }
  }
  for (uint c = 0; c < COLUMNS; ++c) {
    const float sum = subgroupAdd(sums[c]);
    if (c >= count || !subgroupElect()) continue;
    logits[(first + c) * experts + expert] = sum + (has_bias != 0 ? bias[expert] : 0);
  }
}

shared bool is_last;

// Whether all other workgroups have written their logits, and what they wrote can be read.
bool IsLast() {
  memoryBarrierBuffer();
  barrier();
  if (gl_LocalInvocationID.x == 0) {
    memoryBarrierBuffer();  // the logits of all invocations come before the count
    is_last = atomicAdd(done[gl_WorkGroupID.y], 1) + 1 == gl_NumWorkGroups.x;
    if (is_last) done[gl_WorkGroupID.y] = 0;
  }
  barrier();
  memoryBarrierBuffer();
  return is_last;
}

void main() {
  const uint first = gl_WorkGroupID.y * COLUMNS, n = Value(tokens);
  if (first >= n) return;  // so do all that would count with this one
  const uint count = min(COLUMNS, n - first), step = gl_NumWorkGroups.x * gl_NumSubgroups;
  for (uint e = gl_WorkGroupID.x * gl_NumSubgroups + gl_SubgroupID; e < experts; e += step) {
    MultiplyRow(e, first, count);
  }
  if (!IsLast()) return;
  for (uint c = 0; c < count; ++c) Choose(first + c);
}
