// Rows of a table by number, decoded; 16 elements an invocation.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "embedding.inc"
#include "quant.glsl"
#include "errors.glsl"

layout(local_size_x = VECTOR_INVOCATIONS) in;
#ifdef ODD
layout(std430, binding = y_binding) writeonly buffer Y { float y[]; };
void StoreQuad(uint row, uint quad, vec4 v) {
  for (uint i = 0; i < 4; ++i) {
    const uint column = 4 * quad + i;
    if (column < columns) y[row * columns + column] = v[i];
  }
}
#else
layout(std430, binding = y_binding) writeonly buffer Y { vec4 y[]; };
void StoreQuad(uint row, uint quad, vec4 v) { y[row * (columns / 4) + quad] = v; }
#endif

void main() {
  const uint groups = GroupsInRow(), all = Value(count) * groups;
  for (uint i = gl_GlobalInvocationID.x; i < all; i += gl_NumWorkGroups.x * gl_WorkGroupSize.x) {
    const uint index = i / groups;
    if (!IsIndex(ids[index], index, limit)) continue;
    const uint row = uint(ids[index]) - first_row;
    if (row >= rows) continue;  // wraps below the first, too
    vec4 v[4];
    const uint group = i % groups;
    Decode16(0, row * row_bytes, group, v);
    for (uint j = 0; j < QuadsIn(group); ++j) StoreQuad(index, 4 * group + j, v[j]);
  }
}
