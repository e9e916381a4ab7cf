// Layer norm of each row; a workgroup a row. An invocation reads and writes the same elements, so
// that the result may lie in the operand's place.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"

layout(local_size_x = 256) in;
layout(std430, binding = 1) readonly buffer X { float x[]; };
layout(std430, binding = 2) readonly buffer Gain { float gain[]; };
layout(std430, binding = 3) readonly buffer Bias { float bias[]; };
layout(std430, binding = 4) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push {
  uvec2 elements;
  uvec2 columns;
  float eps;
  uint has_gain;
  uint has_bias;
};

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
