// Rows of floats by number: y[i] = x[rows[i]], or, with SCATTER, y[rows[i]] = x[i / repeat].
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#define ERRORS 4
#include "errors.glsl"

layout(local_size_x = 256) in;
layout(constant_id = 0) const bool SCATTER = false;
layout(std430, binding = 1) readonly buffer X { float x[]; };
layout(std430, binding = 2) readonly buffer Rows { int rows[]; };
layout(std430, binding = 3) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push {
  uvec2 count;  // of row numbers
  uvec2 limit;  // that they stay below
  uvec2 columns;
  uint repeat;
};

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
