// Rows of floats by number: y[i] = x[rows[i]], or, with SCATTER, y[rows[i]] = x[i / repeat].
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "rows.inc"
#include "errors.glsl"

layout(local_size_x = INVOCATIONS) in;

void main() {
  const uint n = Value(columns), all = Value(count) * n;
  for (uint i = gl_GlobalInvocationID.x; i < all; i += gl_NumWorkGroups.x * gl_WorkGroupSize.x) {
    const uint index = i / n, column = i % n;
    if (!IsIndex(rows[index], index, Value(limit))) continue;
    const uint row = uint(rows[index]);
    if (SCATTER) {
      y[row * n + column] = x[index / repeat * n + column];
    } else {
      y[i] = x[row * n + column];
    }
  }
}
