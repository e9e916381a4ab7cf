// Products with up to BLOCK_ROWS rows of x: a subgroup a row of the weight, or of both that are
// gated, 16 elements an invocation at a time.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "product.glsl"

layout(local_size_x = VECTOR_INVOCATIONS) in;

// Adds to the sums with each row of x what 16 elements of a weight's row contribute. `side` is 0,
// or, of the weight that is gated, 1.
void AddGroup(uint which, uint side, uint row, uint group, Block block,
              inout vec2 sums[BLOCK_ROWS]) {
  vec4 w[4];
  Decode16(which, row * parts[which].row_bytes, group, w);
  for (uint c = 0; c < BLOCK_ROWS; ++c) {
    if (c >= block.count) break;
    const uint x_row = mode == INDEXED ? block.first / slots_per_row : block.first + c;
    float sum = 0;
    for (uint j = 0; j < QuadsIn(group); ++j) sum += dot(w[j], QuadOfX(x_row, 4 * group + j));
    sums[c] += side == 0 ? vec2(sum, 0) : vec2(0, sum);
  }
}

void MultiplyRow(uint which, uint row, uint o, Block block) {
  vec2 sums[BLOCK_ROWS];
  for (uint c = 0; c < BLOCK_ROWS; ++c) sums[c] = vec2(0);
  const uint groups = GroupsInRow();
  for (uint group = gl_SubgroupInvocationID; group < groups; group += gl_SubgroupSize) {
    for (uint side = 0; side < SIDES; ++side) {
      AddGroup(which + side, side, row, group, block, sums);
    }
  }
  for (uint c = 0; c < BLOCK_ROWS; ++c) {
    const vec2 all = vec2(subgroupAdd(sums[c].x), IS_GATED ? subgroupAdd(sums[c].y) : 0);
    if (c < block.count && subgroupElect()) Store(which, block.first + c, o, all, block);
  }
}

void main() {
  const Block block = FindBlock(gl_WorkGroupID.y, BLOCK_ROWS);
  if (block.count == 0) return;
  uint group = gl_WorkGroupID.x;
  const uint which = FindWeight(group);
  const Part part = parts[which];
  const uint step = part.groups * gl_NumSubgroups;
  for (uint o = group * gl_NumSubgroups + gl_SubgroupID; o < OutputCount(part); o += step) {
    const uint row = WeightRow(part, o, block);
    if (row < part.rows) MultiplyRow(which, row, o, block);
  }
}
