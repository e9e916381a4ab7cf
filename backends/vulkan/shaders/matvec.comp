// Products of rows of a weight with up to COLUMNS rows of x; a subgroup a row of the weight, 16
// elements an invocation at a time. Which expert's matrix, and which rows of x, depends on MODE.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(push_constant) uniform Push {
  uvec2 rows;  // of y
  uint columns;
  uint outputs;    // rows of one expert's matrix
  uint first_row;  // of those in the binding, counted over all experts
  uint part_rows;
  uint experts;
  uint mode;
  uint slots_per_row;  // INDEXED: rows of y for each row of x
  uint has_bias;
};

#include "quant.glsl"
#define ERRORS 6
#include "errors.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint COLUMNS = 1;
// The order of enum Mode in kernels/product.h.
const uint PLAIN = 0, INDEXED = 1, GROUPED = 2;

layout(std430, binding = 2) readonly buffer X { vec4 x[]; };
layout(std430, binding = 3) readonly buffer Bias { float bias[]; };
layout(std430, binding = 4) readonly buffer Index { int index[]; };  // ids, or offsets of experts
layout(std430, binding = 5) writeonly buffer Y { float y[]; };

// What a workgroup works on: rows first .. first + count - 1 of y, and the expert.
struct Block {
  uint first, count, expert;
};

Block FindBlock(uint number) {
  const uint n = Value(rows);
  if (mode == PLAIN) {
    const uint first = number * COLUMNS;
    return Block(first, first < n ? min(COLUMNS, n - first) : 0, 0);
  }
  if (mode == INDEXED) {
    if (number >= n || !IsIndex(index[number], number, experts)) return Block(0, 0, 0);
    return Block(number, 1, uint(index[number]));
  }
  for (uint e = 0; e < experts; ++e) {
    const int begin = index[e], end = min(index[e + 1], int(n));
    const uint blocks = begin < 0 || end <= begin ? 0 : (uint(end - begin) + COLUMNS - 1) / COLUMNS;
    if (number < blocks) {
      const uint first = uint(begin) + number * COLUMNS;
      return Block(first, min(COLUMNS, uint(end) - first), e);
    }
    number -= blocks;
  }
  return Block(0, 0, 0);
}

void MultiplyRow(uint row, uint output_row, Block block) {
  float sums[COLUMNS];
  for (uint c = 0; c < COLUMNS; ++c) sums[c] = 0;
  const uint groups = GroupsInRow();
  for (uint group = gl_SubgroupInvocationID; group < groups; group += gl_SubgroupSize) {
    vec4 w[4];
    Decode16(row * RowBytes(), group, w);
    for (uint c = 0; c < COLUMNS; ++c) {
      if (c >= block.count) break;
      const uint x_row = mode == INDEXED ? block.first / slots_per_row : block.first + c;
      const uint at = x_row * (columns / 4) + 4 * group;
      for (uint j = 0; j < QuadsIn(group); ++j) sums[c] += dot(w[j], x[at + j]);
    }
  }
  for (uint c = 0; c < COLUMNS; ++c) {
    const float sum = subgroupAdd(sums[c]);
    if (c < block.count && subgroupElect()) {
      const float added = has_bias != 0 ? bias[block.expert * outputs + output_row] : 0;
      y[(block.first + c) * outputs + output_row] = sum + added;
    }
  }
}

void main() {
  const Block block = FindBlock(gl_WorkGroupID.y);
  if (block.count == 0) return;
  const uint step = gl_NumWorkGroups.x * gl_NumSubgroups;
  for (uint o = gl_WorkGroupID.x * gl_NumSubgroups + gl_SubgroupID; o < outputs; o += step) {
    const uint row = block.expert * outputs + o - first_row;
    if (row < part_rows) MultiplyRow(row, o, block);  // a row before the first wraps
  }
}
