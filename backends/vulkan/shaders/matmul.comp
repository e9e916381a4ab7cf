// Products of many rows of x: tiles of 32 by 32 results, 32 elements of the sums at a time through
// shared memory, 4 by 4 results an invocation; of both weights where one gates the other.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "product.glsl"

layout(local_size_x = VECTOR_INVOCATIONS) in;
const uint TILE = WIDE_TILE;

// [k / 4][row], so that neighbours read neighbours.
shared vec4 x_tile[TILE / 4][TILE];
shared vec4 w_tile[2][TILE / 4][TILE];  // the second of the weight that is gated

// Elements k .. k + 31 of the rows of x; zeros beyond the end of anything.
void LoadX(Block block, uint k) {
  for (uint i = gl_LocalInvocationID.x; i < TILE * TILE / 4; i += gl_WorkGroupSize.x) {
    const uint r = i / (TILE / 4), quad = i % (TILE / 4);
    const bool is_there = r < block.count && k + 4 * quad < columns;
    x_tile[quad][r] = is_there ? QuadOfX(block.first + r, k / 4 + quad) : vec4(0);
  }
}

// The same of a weight's rows, the first of which is output `first`. Two invocations a row.
void LoadWeight(uint which, uint side, uint first, Block block, uint k) {
  const uint r = gl_LocalInvocationID.x / 2, half_tile = gl_LocalInvocationID.x % 2;
  const Part part = parts[which];
  const uint o = first + r, row = WeightRow(part, o, block);
  vec4 v[4] = vec4[4](vec4(0), vec4(0), vec4(0), vec4(0));
  if (o < OutputCount(part) && row < part.rows && k + 16 * half_tile < columns) {
    Decode16(which, row * part.row_bytes, k / 16 + half_tile, v);
  }
  for (uint j = 0; j < 4; ++j) w_tile[side][4 * half_tile + j][r] = v[j];
}

vec4 Dots(vec4 a, uint side, uint quad, uint o) {
  return vec4(dot(a, w_tile[side][quad][o]), dot(a, w_tile[side][quad][o + 8]),
              dot(a, w_tile[side][quad][o + 16]), dot(a, w_tile[side][quad][o + 24]));
}

void main() {
  const Block block = FindBlock(gl_WorkGroupID.y, TILE);
  if (block.count == 0) return;  // the same for all
  uint first = gl_WorkGroupID.x;
  const uint which = FindWeight(first);
  const Part part = parts[which];
  first *= TILE;
  const uint r0 = gl_LocalInvocationID.x / 8, o0 = gl_LocalInvocationID.x % 8;  // then every 8th
  vec4 sums[4] = vec4[4](vec4(0), vec4(0), vec4(0), vec4(0)), others[4] = sums;
  for (uint k = 0; k < columns; k += TILE) {
    barrier();
    LoadX(block, k);
    for (uint side = 0; side < SIDES; ++side) LoadWeight(which + side, side, first, block, k);
    barrier();
    for (uint quad = 0; quad < TILE / 4; ++quad) {
      for (uint r = 0; r < 4; ++r) {
        const vec4 a = x_tile[quad][r0 + 8 * r];
        sums[r] += Dots(a, 0, quad, o0);
        if (IS_GATED) others[r] += Dots(a, 1, quad, o0);
      }
    }
  }
  for (uint r = 0; r < 4; ++r) {
    const uint row = r0 + 8 * r;
    for (uint i = 0; i < 4; ++i) {
      const uint o = first + o0 + 8 * i;
      const bool is_there = row < block.count && o < OutputCount(part) &&
                            WeightRow(part, o, block) < part.rows;
      if (is_there) Store(which, block.first + row, o, vec2(sums[r][i], others[r][i]), block);
    }
  }
}
