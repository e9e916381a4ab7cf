// What products with weights share, whether by vectors or by tiles: up to three weights that meet
// the same rows of x, as parts of rows that one binding each spans; their results, or, gated, one
// result of two; and which expert's matrix meets which rows.

#include "product.inc"
#include "quant.glsl"
#include "errors.glsl"
#include "activation.glsl"

const bool IS_GATED = ACTIVATION != NONE;
const uint SIDES = IS_GATED ? 2 : 1;

layout(std430, binding = bias_binding) readonly buffer Bias { float of[]; } bias[WEIGHTS];
layout(std430, binding = y_binding) writeonly buffer Y { float of[]; } y[RESULTS];
#include "x.glsl"

// Rows first .. first + count - 1 of y, and the expert whose matrix they meet.
struct Block {
  uint first, count, expert;
};

// Block `number`, of at most `most` rows. Those of a table of tiles are as they are there.
Block FindBlock(uint number, uint most) {
  const uint n = Value(rows);
  if (mode == PLAIN) {
    const uint first = number * most;
    return Block(first, first < n ? min(most, n - first) : 0, 0);
  }
  if (mode == INDEXED) {
    if (number >= n || !IsIndex(index[number], number, experts)) return Block(0, 0, 0);
    return Block(number, 1, uint(index[number]));
  }
  if (number >= n) return Block(0, 0, 0);
  const uint at = TILE_NUMBERS * number;
  return Block(uint(index[at]), uint(index[at + 1]), uint(index[at + 2]));
}

// The weight that workgroup `group` is for; `group` becomes its number among those of that weight.
uint FindWeight(inout uint group) {
  uint which = 0;
  for (; which + 1 < WEIGHTS && group >= parts[which].groups; ++which) group -= parts[which].groups;
  return which;
}

// How many outputs one expert has, and the row of output `o` in the binding: at or beyond the
// part's rows if it is elsewhere.
uint OutputCount(Part part) { return mode == PLAIN ? part.rows : part.outputs; }
uint WeightRow(Part part, uint o, Block block) {
  return mode == PLAIN ? o : block.expert * part.outputs + o - part.first_row;
}

float BiasOf(uint which, uint column, Block block) {
  if ((has_bias >> which & 1u) == 0) return 0;
  return bias[which].of[block.expert * parts[which].outputs + column];
}

// Output `o` of row `row` of y, from the sums with weight `which` and, gated, with the second.
void Store(uint which, uint row, uint o, vec2 sums, Block block) {
  const uint column = mode == PLAIN ? parts[which].first_row + o : o;
  float value = sums.x + BiasOf(which, column, block);
  if (IS_GATED) {
    value = ACTIVATION == SILU ? Silu(value) : GeluTanh(value);
    value *= sums.y + BiasOf(1, column, block);
  }
  y[which].of[row * parts[which].outputs + column] = value;
}
