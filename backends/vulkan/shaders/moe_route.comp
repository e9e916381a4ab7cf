// Places of rows that are grouped by expert: row_of[i] is the number of slots before slot i in
// order of expert, then of slot; offsets[e] the number of slots of lower experts. Each invocation
// counts for itself, so that nothing has to be ordered between them.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#define ERRORS 4
#include "errors.glsl"

layout(local_size_x = 64) in;
layout(std430, binding = 1) readonly buffer Ids { int ids[]; };
layout(std430, binding = 2) writeonly buffer RowOf { int row_of[]; };
layout(std430, binding = 3) writeonly buffer Offsets { int offsets[]; };
layout(push_constant) uniform Push {
  uvec2 slots;
  uint experts;
};

void main() {
  const uint n = Value(slots), all = n + experts + 1;
  for (uint i = gl_GlobalInvocationID.x; i < all; i += gl_NumWorkGroups.x * gl_WorkGroupSize.x) {
    const bool is_slot = i < n;
    const int expert = is_slot ? ids[i] : int(i - n);
    if (is_slot) IsIndex(expert, i, experts);
    int before = 0;
    for (uint j = 0; j < n; ++j) {
      before += int(ids[j] < expert || (is_slot && ids[j] == expert && j < i));
    }
    if (is_slot) {
      row_of[i] = before;
    } else {
      offsets[i - n] = before;
    }
  }
}
