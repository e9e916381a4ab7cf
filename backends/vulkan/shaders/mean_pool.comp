// Means of the rows of each sequence; an invocation a column of one. Each looks at every token's
// sequence, so that nothing is added up by atomics and the sum is the same every time.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "mean_pool.inc"
#include "errors.glsl"

layout(local_size_x = INVOCATIONS) in;

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
