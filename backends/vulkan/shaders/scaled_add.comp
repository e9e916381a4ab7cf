// y[i] = residual[i] + sum_j weights[i,j] * rows[row_of[i,j]], element by element.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#define ERRORS 6
#include "errors.glsl"

layout(local_size_x = 256) in;
layout(std430, binding = 1) readonly buffer Rows { float rows[]; };
layout(std430, binding = 2) readonly buffer Weights { float weights[]; };
layout(std430, binding = 3) readonly buffer RowOf { int row_of[]; };
layout(std430, binding = 4) readonly buffer Residual { float residual[]; };
layout(std430, binding = 5) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push {
  uvec2 tokens;
  uint k;
  uint columns;
  uint has_row_of;
  uint has_residual;
};

void main() {
  const uint all = Value(tokens) * columns, limit = Value(tokens) * k;
  for (uint i = gl_GlobalInvocationID.x; i < all; i += gl_NumWorkGroups.x * gl_WorkGroupSize.x) {
    const uint token = i / columns, column = i % columns;
    float sum = has_residual != 0 ? residual[i] : 0;
    for (uint slot = token * k; slot < token * k + k; ++slot) {
      const int row = has_row_of != 0 ? row_of[slot] : int(slot);
      if (IsIndex(row, slot, limit)) sum += weights[slot] * rows[uint(row) * columns + column];
    }
    y[i] = sum;
  }
}
