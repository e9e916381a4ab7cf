// Product of many rows of x with a weight: tiles of 32 by 32 results, 32 elements of the sums at a
// time through shared memory, 4 by 4 results an invocation.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(push_constant) uniform Push {
  uvec2 rows;
  uint columns;
  uint outputs;
  uint first_row;  // of the weight's rows in the binding
  uint part_rows;
  uint has_bias;
};

#include "quant.glsl"

layout(local_size_x = 64) in;
const uint TILE = 32;
layout(std430, binding = 2) readonly buffer X { vec4 x[]; };
layout(std430, binding = 3) readonly buffer Bias { float bias[]; };
layout(std430, binding = 4) writeonly buffer Y { float y[]; };

// [k / 4][row], so that neighbours read neighbours.
shared vec4 x_tile[TILE / 4][TILE];
shared vec4 w_tile[TILE / 4][TILE];

// Elements k .. k + 31 of the tiles' rows; zeros beyond the end of anything.
void LoadTiles(uint x_row, uint w_row, uint k) {
  const uint lane = gl_LocalInvocationID.x, n = Value(rows);
  for (uint i = lane; i < TILE * TILE / 4; i += gl_WorkGroupSize.x) {
    const uint r = i / (TILE / 4), quad = i % (TILE / 4);
    const bool is_there = x_row + r < n && k + 4 * quad < columns;
    x_tile[quad][r] = is_there ? x[(x_row + r) * (columns / 4) + k / 4 + quad] : vec4(0);
  }
  // 32 rows by 2 groups of 16: one each.
  const uint r = lane / 2, half_tile = lane % 2;
  vec4 v[4] = vec4[4](vec4(0), vec4(0), vec4(0), vec4(0));
  if (w_row + r < part_rows && k + 16 * half_tile < columns) {
    Decode16((w_row + r) * RowBytes(), k / 16 + half_tile, v);
  }
  for (uint j = 0; j < 4; ++j) w_tile[4 * half_tile + j][r] = v[j];
}

void main() {
  const uint x_row = gl_WorkGroupID.y * TILE, w_row = gl_WorkGroupID.x * TILE;
  if (x_row >= Value(rows)) return;  // the same for all
  const uint r0 = gl_LocalInvocationID.x / 8, o0 = gl_LocalInvocationID.x % 8;  // then every 8th
  vec4 sums[4] = vec4[4](vec4(0), vec4(0), vec4(0), vec4(0));
  for (uint k = 0; k < columns; k += TILE) {
    barrier();
    LoadTiles(x_row, w_row, k);
    barrier();
    for (uint quad = 0; quad < TILE / 4; ++quad) {
      for (uint r = 0; r < 4; ++r) {
        const vec4 a = x_tile[quad][r0 + 8 * r];
        sums[r] += vec4(dot(a, w_tile[quad][o0]), dot(a, w_tile[quad][o0 + 8]),
                        dot(a, w_tile[quad][o0 + 16]), dot(a, w_tile[quad][o0 + 24]));
      }
    }
  }
  for (uint r = 0; r < 4; ++r) {
    const uint row = x_row + r0 + 8 * r;
    for (uint o = 0; o < 4; ++o) {
      const uint part_row = w_row + o0 + 8 * o, column = first_row + part_row;
      if (row >= Value(rows) || part_row >= part_rows) continue;
      y[row * outputs + column] = sums[r][o] + (has_bias != 0 ? bias[column] : 0);
    }
  }
}
