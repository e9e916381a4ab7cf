// Means of the rows of each sequence; an invocation a column of one. Each looks at every token's
// sequence, so that nothing is added up by atomics and the sum is the same every time.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#define ERRORS 5
#include "errors.glsl"

layout(local_size_x = 256) in;
layout(std430, binding = 1) readonly buffer X { float x[]; };
layout(std430, binding = 2) readonly buffer SeqIds { int seq_ids[]; };
layout(std430, binding = 3) readonly buffer Lens { int lens[]; };
layout(std430, binding = 4) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push {
  uvec2 tokens;
  uvec2 seqs;
  uvec2 columns;
};

void main() {
  const uint n = Value(columns), limit = Value(seqs), rows = Value(tokens), all = limit * n;
  for (uint i = gl_GlobalInvocationID.x; i < all; i += gl_NumWorkGroups.x * gl_WorkGroupSize.x) {
    const uint sequence = i / n, column = i % n;
    float sum = 0;
    for (uint token = 0; token < rows; ++token) {
      if (!IsIndex(seq_ids[token], token, limit)) continue;
      if (uint(seq_ids[token]) == sequence) sum += x[token * n + column];
    }
    y[i] = lens[sequence] > 0 ? sum / float(lens[sequence]) : 0;
  }
}
