// Products of many rows of x by cooperative matrices: tiles of BLOCK_ROWS results by 128, 32
// elements of the sums at a time. What is multiplied is float16, in shared memory, where weights
// are decoded to; sums are float32. Of a gated pair, a tile has 64 results, and both sums of each.
//
// What a float16 loses: x comes divided by 16, so that it must be below 2^20, and keeps all of a
// float16's 11 bits from 2^-10 on; a power of two is multiplied back without loss.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_spirv_intrinsics : require
#extension GL_KHR_memory_scope_semantics : require
#pragma use_vulkan_memory_model
#include "common.glsl"
#include "product.glsl"

layout(local_size_x_id = LANES_CONSTANT) in;
const uint OUTPUTS = IS_GATED ? TILE_W / 2 : TILE_W;  // of a tile
// A subgroup has the sums of all rows with two strips of the weight: side by side, or one of each
// weight of a gated pair.
const uint STRIPS = 2;
const float SHRINK = 1.0 / 16;

#include "coopmat.glsl"

// Rows of x and of the weight, 4 elements each; matrices want rows at multiples of 16 bytes.
const uint ROW_QUADS = TILE_K / 4 + 2;
shared f16vec4 x_tile[BLOCK_ROWS * ROW_QUADS];
shared f16vec4 w_tile[TILE_W * ROW_QUADS];
shared float results[SUBGROUPS * STRIPS * M * N];

const uint COLUMNS_OF_MATRICES = STRIP / N, ROWS_OF_MATRICES = BLOCK_ROWS / M;
#define SUM(strip, c, r) sums[((strip) * COLUMNS_OF_MATRICES + (c)) * ROWS_OF_MATRICES + (r)]

// Elements k .. k + 31 of the rows of x; zeros beyond the end of anything.
void LoadX(Block block, uint k) {
  for (uint i = gl_LocalInvocationID.x; i < BLOCK_ROWS * TILE_K / 4; i += gl_WorkGroupSize.x) {
    const uint r = i / (TILE_K / 4), quad = i % (TILE_K / 4);
    const bool is_there = r < block.count && k + 4 * quad < columns;
    const vec4 v = is_there ? QuadOfX(block.first + r, k / 4 + quad) : vec4(0);
    x_tile[r * ROW_QUADS + quad] = f16vec4(v * SHRINK);
  }
}

// The same of a weight's rows, the first of which is output `first`; two steps a row.
void LoadWeight(uint which, uint side, uint first, Block block, uint k) {
  const Part part = parts[which];
  for (uint i = gl_LocalInvocationID.x; i < 2 * OUTPUTS; i += gl_WorkGroupSize.x) {
    const uint r = i / 2, half_tile = i % 2;
    const uint o = first + r, row = WeightRow(part, o, block);
    vec4 v[4] = vec4[4](vec4(0), vec4(0), vec4(0), vec4(0));
    if (o < OutputCount(part) && row < part.rows && k + 16 * half_tile < columns) {
      Decode16(which, row * part.row_bytes, k / 16 + half_tile, v);
    }
    const uint to = (side * OUTPUTS + r) * ROW_QUADS + 4 * half_tile;
    for (uint j = 0; j < 4; ++j) w_tile[to + j] = f16vec4(v[j]);
  }
}

// The first row of a strip in w_tile.
uint StripRow(uint strip) {
  return IS_GATED ? strip * OUTPUTS + gl_SubgroupID * STRIP
                  : (gl_SubgroupID * STRIPS + strip) * STRIP;
}

void StoreIfThere(uint which, uint r, uint o, vec2 value, Block block) {
  const Part part = parts[which];
  const bool is_there =
      r < block.count && o < OutputCount(part) && WeightRow(part, o, block) < part.rows;
  if (is_there) Store(which, block.first + r, o, value / SHRINK, block);
}

// The results of one matrix of each strip, which stand in `results`: rows of x from `r` on, columns
// of the strips from `c` on. `first` is the tile's first output.
void StoreResults(uint which, uint first, uint r, uint c, Block block) {
  const uint from = gl_SubgroupID * STRIPS * M * N;
  for (uint i = gl_SubgroupInvocationID; i < M * N; i += gl_SubgroupSize) {
    const vec2 sum = vec2(results[from + i], results[from + M * N + i]);
    const uint row = r + i / N, o = first + c + i % N;
    StoreIfThere(which, row, o + StripRow(0), sum, block);
    if (!IS_GATED) StoreIfThere(which, row, o + StripRow(1), sum.yx, block);
  }
}

void main() {
  const Block block = FindBlock(gl_WorkGroupID.y, BLOCK_ROWS);
  if (block.count == 0) return;  // the same for all
  uint first = gl_WorkGroupID.x;
  const uint which = FindWeight(first);
  first *= OUTPUTS;
  MatrixSum sums[STRIPS * COLUMNS_OF_MATRICES * ROWS_OF_MATRICES];
  [[unroll]] for (uint i = 0; i < sums.length(); ++i) sums[i] = Filled(0);
  for (uint k = 0; k < columns; k += TILE_K) {
    barrier();
    LoadX(block, k);
    for (uint side = 0; side < SIDES; ++side) LoadWeight(which + side, side, first, block, k);
    barrier();
    for (uint step = 0; step < TILE_K / K; ++step) {
      const uint quad = step * K / 4;
      [[unroll]] for (uint r = 0; r < ROWS_OF_MATRICES; ++r) {
        if (r * M >= block.count) continue;
        const MatrixA a = LoadA(x_tile[r * M * ROW_QUADS + quad], BY_ROWS, ROW_QUADS, READS,
                                gl_ScopeWorkgroup);
        [[unroll]] for (uint strip = 0; strip < STRIPS; ++strip) {
          [[unroll]] for (uint c = 0; c < COLUMNS_OF_MATRICES; ++c) {
            const uint row = StripRow(strip) + c * N;
            const MatrixB b = LoadB(w_tile[row * ROW_QUADS + quad], BY_COLUMNS, ROW_QUADS,
                                    READS, gl_ScopeWorkgroup);
            SUM(strip, c, r) = MultiplyAdd(a, b, SUM(strip, c, r));
          }
        }
      }
    }
  }
  const uint to = gl_SubgroupID * STRIPS * M * N;
  [[unroll]] for (uint r = 0; r < ROWS_OF_MATRICES; ++r) {
    [[unroll]] for (uint c = 0; c < COLUMNS_OF_MATRICES; ++c) {
      subgroupBarrier();
      StoreSum(results[to], SUM(0, c, r), BY_ROWS, N, WRITES, gl_ScopeWorkgroup);
      StoreSum(results[to + M * N], SUM(1, c, r), BY_ROWS, N, WRITES, gl_ScopeWorkgroup);
      subgroupBarrier();
      StoreResults(which, first, r * M, c * N, block);
    }
  }
}
