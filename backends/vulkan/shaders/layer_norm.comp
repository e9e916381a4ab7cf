// Layer norm of each row; a workgroup a row. An invocation reads and writes the same elements, so
// that the result may lie in the operand's place.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "layer_norm.inc"
#include "reduce.glsl"

layout(local_size_x = 256) in;

void main() {
  const uint n = Value(columns), all = Value(elements), lane = gl_LocalInvocationID.x;
  for (uint row = gl_WorkGroupID.x * n; row < all; row += gl_NumWorkGroups.x * n) {
    float sum = 0;
    for (uint i = lane; i < n; i += gl_WorkGroupSize.x) sum += x[row + i];
    const float mean = WorkgroupSum(sum) / float(n);
    float squares = 0;
    for (uint i = lane; i < n; i += gl_WorkGroupSize.x) {
      const float value = x[row + i] - mean;
      squares += value * value;
    }
    const float scale = 1 / sqrt(WorkgroupSum(squares) / float(n) + eps);
    for (uint i = lane; i < n; i += gl_WorkGroupSize.x) {
      const float value = (x[row + i] - mean) * scale * (has_gain != 0 ? gain[i] : 1);
      y[row + i] = value + (has_bias != 0 ? bias[i] : 0);
    }
  }
}
