// y[i] = residual[i] + sum_j weights[i,j] * rows[row_of[i,j]], element by element.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "scaled_add.inc"
#include "errors.glsl"

layout(local_size_x = INVOCATIONS) in;

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
