// Places of rows that are grouped by expert, by one workgroup: how many slots each expert has,
// where its rows begin, and then, as many slots at a time as there are invocations, how many of the
// same expert come before each. So rows of an expert are in order of slot, every time.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "moe_route.inc"
#include "errors.glsl"

layout(local_size_x = 256) in;
const uint NONE = 0xffffffffu;
shared uint counts[MAX_EXPERTS];
shared uint next[MAX_EXPERTS];  // row of each expert's next slot
shared uint chunk[256];         // the slots' experts

uint ExpertOf(uint slot, uint n) {
  return slot < n && IsIndex(ids[slot], slot, experts) ? uint(ids[slot]) : NONE;
}

// Where an expert's rows begin; for the one after the last, the end.
void Place(uint expert) {
  uint begin = 0;
  for (uint e = 0; e < expert; ++e) begin += counts[e];
  offsets[expert] = int(begin);
  if (expert < experts) next[expert] = begin;
}

void main() {
  const uint n = Value(slots), lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
  for (uint e = lane; e < experts; e += lanes) counts[e] = 0;
  barrier();
  for (uint slot = lane; slot < n; slot += lanes) {
    const uint expert = ExpertOf(slot, n);
    if (expert != NONE) atomicAdd(counts[expert], 1);
  }
  barrier();
  for (uint e = lane; e <= experts; e += lanes) Place(e);
  for (uint first = 0; first < n; first += lanes) {
    const uint slot = first + lane, expert = ExpertOf(slot, n);
    chunk[lane] = expert;
    barrier();
    uint before = 0;
    for (uint i = 0; i < lane; ++i) before += uint(chunk[i] == expert);
    if (slot < n) row_of[slot] = expert == NONE ? 0 : int(next[expert] + before);
    barrier();
    if (expert != NONE) atomicAdd(next[expert], 1);
  }
}
