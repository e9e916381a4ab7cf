// Runs of 32-bit words: run o of `runs` goes from o * from_stride + from_begin to o * to_stride +
// to_begin. What slice and concat are.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "copy.inc"

layout(local_size_x = INVOCATIONS) in;

void main() {
  const uint n = Value(run), all = Value(runs) * n;
  const uint from = Value(from_begin), to = Value(to_begin);
  for (uint i = gl_GlobalInvocationID.x; i < all; i += gl_NumWorkGroups.x * gl_WorkGroupSize.x) {
    y[i / n * Value(to_stride) + to + i % n] = x[i / n * Value(from_stride) + from + i % n];
  }
}
