// Root mean square norm of each row of x, or, with ADD, of sum = x + b; a workgroup a row. An
// invocation reads and writes the same elements, so that results may lie in the operands' places.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"
#include "rms_norm.inc"

layout(local_size_x = 256) in;
#ifdef ADD
layout(std430, binding = b_binding) readonly buffer B { float b[]; };
layout(std430, binding = sum_binding) buffer Sum { float sum[]; };
#endif

// Element i of what is normed; in the first pass over a row, the sum is written.
float First(uint i) {
#ifdef ADD
  const float value = x[i] + b[i];
  sum[i] = value;
  return value;
#else
  return x[i];
#endif
}
float Again(uint i) {
#ifdef ADD
  return sum[i];
#else
  return x[i];
#endif
}

void main() {
  const uint n = Value(columns), all = Value(elements), lane = gl_LocalInvocationID.x;
  for (uint row = gl_WorkGroupID.x * n; row < all; row += gl_NumWorkGroups.x * n) {
    float squares = 0;
    for (uint i = lane; i < n; i += gl_WorkGroupSize.x) {
      const float value = First(row + i);
      squares += value * value;
    }
    const float scale = 1 / sqrt(WorkgroupSum(squares) / float(n) + eps);
    for (uint i = lane; i < n; i += gl_WorkGroupSize.x) {
      y[row + i] = Again(row + i) * scale * (has_gain != 0 ? gain[i] : 1);
    }
  }
}
