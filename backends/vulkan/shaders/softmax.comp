// Softmax of each row; a workgroup a row.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"
#include "softmax.inc"

layout(local_size_x = 256) in;

void main() {
  const uint n = Value(columns), all = Value(elements), lane = gl_LocalInvocationID.x;
  for (uint row = gl_WorkGroupID.x * n; row < all; row += gl_NumWorkGroups.x * n) {
    float largest = uintBitsToFloat(0xff800000u);  // -inf
    for (uint i = lane; i < n; i += gl_WorkGroupSize.x) largest = max(largest, x[row + i]);
    largest = WorkgroupMax(largest);
    float sum = 0;
    for (uint i = lane; i < n; i += gl_WorkGroupSize.x) sum += exp(x[row + i] - largest);
    const float scale = 1 / WorkgroupSum(sum);
    for (uint i = lane; i < n; i += gl_WorkGroupSize.x) {
      y[row + i] = exp(x[row + i] - largest) * scale;
    }
  }
}
