// The table of tiles of grouped rows, by one workgroup: how many tiles each expert has, where its
// first one stands, and then all of them. The table ends with zeros. Whatever the offsets are, its
// rows and experts are such as there are: who reads it need not look.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "expert_tiles.inc"
#include "errors.glsl"

layout(local_size_x = 256) in;
shared uint counts[MAX_EXPERTS];  // of tiles

// Where an expert's rows begin and end; nowhere if offsets do not ascend within the rows.
uvec2 RowsOf(uint expert, uint n) {
  const int begin = offsets[expert], end = offsets[expert + 1];
  if (begin >= 0 && begin <= end && uint(end) <= n) return uvec2(begin, end);
  Report(INDEX_ERROR, end, expert + 1, int(n + 1));
  return uvec2(0);
}

void Store(uint tile, uvec3 numbers) {
  for (uint i = 0; i < TILE_NUMBERS; ++i) tiles[TILE_NUMBERS * tile + i] = int(numbers[i]);
}

void main() {
  const uint n = Value(rows), lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
  if (lane == 0) {
    IsIndex(offsets[0], 0, 1);
    if (offsets[experts] != int(n)) Report(INDEX_ERROR, offsets[experts], experts, int(n + 1));
  }
  for (uint e = lane; e < experts; e += lanes) {
    const uvec2 range = RowsOf(e, n);
    counts[e] = (range.y - range.x + most - 1) / most;
  }
  barrier();
  for (uint e = lane; e < experts; e += lanes) {
    const uvec2 range = RowsOf(e, n);
    uint tile = 0;
    for (uint before = 0; before < e; ++before) tile += counts[before];
    // Rows of two experts, which only wrong offsets have, could be more tiles than there is room for.
    for (uint first = range.x; first < range.y && tile < n; first += most) {
      Store(tile++, uvec3(first, min(most, range.y - first), e));
    }
  }
  uint all = 0;
  for (uint e = 0; e < experts; ++e) all += counts[e];
  for (uint tile = all + lane; tile < n; tile += lanes) Store(tile, uvec3(0));
}
