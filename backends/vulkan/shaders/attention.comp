// Attention over a paged cache. A workgroup takes a tile of query rows that share a kv head: the
// heads of its group, of one token or of several. So a key is read once for all of them. Keys come
// KEYS at a time with a running maximum and sum (Milakov and Gimelshein 2018, arXiv:1805.02867), so
// that nothing of the context's length is kept.
//
// With SPLIT a tile is of one token, and its keys are divided over workgroups, since one token's
// heads alone do not keep a device busy. Each leaves what it has in `partial`; the one that ends
// last, by a counter, puts them together.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "attention.inc"
#include "common.glsl"
#include "cache.glsl"
#include "errors.glsl"

layout(local_size_x_id = LANES_CONSTANT) in;

CACHE(k_binding, K, K_FORMAT)
CACHE(v_binding, V, V_FORMAT)
#ifdef SPLIT
layout(std430, binding = partial_binding) coherent buffer Partial { vec4 partial[]; };
layout(std430, binding = counters_binding) coherent buffer Counters { uint counters[]; };
#endif

const float LOWEST = -3.402823466e38;  // of scores that are not seen; differences are numbers
const uint NO_ROW = ~0u;

shared vec4 query[ROWS * K_QUADS];
// A piece of the keys, then of the values; one quad more a row keeps lanes on different banks.
shared vec4 tile[KEYS * (PIECE + 1)];
shared float weights[ROWS * KEYS];  // scores at first
shared uint cache_rows[KEYS];
shared ivec3 seen[ROWS];  // indices begin .. end - 1 of a sequence; -1: none
shared float largest[ROWS], sums[ROWS], fades[ROWS];

// What an invocation has of the result: rows Row(0), Row(1), ... and, of each piece, one quad.
const uint MY_ROWS = ROWS * PIECE / LANES;
vec4 results[V_PIECES * MY_ROWS];
uint Row(uint i) { return gl_LocalInvocationID.x / PIECE + i * (LANES / PIECE); }
uint Quad() { return gl_LocalInvocationID.x % PIECE; }

// --- Which rows, and what they see ----------------------------------------------------------

// Token and head, within the kv head's group, of a tile's row; false if there is none.
bool FindQuery(uint which, uint row, out uint token, out uint head) {
  token = which / tiles_per_token * tokens_per_tile + row / group;
  head = which % tiles_per_token * ROWS + row % group;
  return row / group < tokens_per_tile && head < group && token < Value(tokens);
}
uint RowOfQuery(uint token, uint kv_head, uint head) {
  return (token * kv_heads + kv_head) * group + head;
}

ivec3 VisibleTo(uint token) {
  const ivec3 nothing = ivec3(0, 0, -1);
  if (!IsIndex(seq_ids[token], token, Value(seqs))) return nothing;
  const int sequence = seq_ids[token];
  const int most = int(Value(table) * block_size);
  if (lens[sequence] < 0 || lens[sequence] > most) {
    Report(INDEX_ERROR, lens[sequence], sequence, most + 1);
    return nothing;
  }
  int end = lens[sequence], begin = 0;
  if (causal != 0) end = min(end, positions[token] + 1);
  if (window != 0) begin = max(0, positions[token] - int(window) + 1);
  return begin < end ? ivec3(begin, end, sequence) : nothing;
}

void LoadQueries(uint which, uint kv_head) {
  uint token, head;
  for (uint i = gl_LocalInvocationID.x; i < ROWS * k_quads; i += LANES) {
    const uint row = i / k_quads, quad = i % k_quads;
    const bool is_there = FindQuery(which, row, token, head);
    query[row * K_QUADS + quad] =
        is_there ? scale * q[RowOfQuery(token, kv_head, head) * k_quads + quad] : vec4(0);
  }
  const uint row = gl_LocalInvocationID.x;
  if (row < ROWS) {
    seen[row] = FindQuery(which, row, token, head) ? VisibleTo(token) : ivec3(0, 0, -1);
    largest[row] = LOWEST;
    sums[row] = 0;
  }
  for (uint i = 0; i < V_PIECES * MY_ROWS; ++i) results[i] = vec4(0);
}

bool Sees(uint row, int sequence, int index) {
  const ivec3 range = seen[row];
  return range.z == sequence && index >= range.x && index < range.y;
}

// Row of the cache of a sequence's index. Blocks that no row sees may have any id.
uint CacheRow(int sequence, uint kv_head, int index) {
  const uint entry = uint(sequence) * Value(table) + uint(index) / block_size;
  const int block = tables[entry];
  if (block >= 0 && uint(block) < Value(blocks)) {
    return (uint(block) * kv_heads + kv_head) * block_size + uint(index) % block_size;
  }
  for (uint row = 0; row < ROWS; ++row) {
    if (Sees(row, sequence, index)) Report(INDEX_ERROR, block, entry, int(Value(blocks)));
  }
  return NO_ROW;
}

// --- One tile of keys -----------------------------------------------------------------------

void LoadKeys(uint piece) {
  for (uint i = gl_LocalInvocationID.x; i < KEYS * PIECE; i += LANES) {
    const uint key = i / PIECE, quad = piece * PIECE + i % PIECE, row = cache_rows[key];
    const bool is_there = row != NO_ROW && quad < k_quads;
    tile[key * (PIECE + 1) + i % PIECE] = is_there ? K(row * k_quads + quad) : vec4(0);
  }
}
void LoadValues(uint piece) {
  for (uint i = gl_LocalInvocationID.x; i < KEYS * PIECE; i += LANES) {
    const uint key = i / PIECE, quad = piece * PIECE + i % PIECE, row = cache_rows[key];
    const bool is_there = row != NO_ROW && quad < v_quads;
    tile[key * (PIECE + 1) + i % PIECE] = is_there ? V(row * v_quads + quad) : vec4(0);
  }
}

// An invocation has one key and every fourth row.
void Score(int sequence, int base) {
  const uint key = gl_LocalInvocationID.x % KEYS, first = gl_LocalInvocationID.x / KEYS;
  const uint step = LANES / KEYS;
  float dots[ROWS * KEYS / LANES];
  for (uint i = 0; i < ROWS / step; ++i) dots[i] = 0;
  for (uint piece = 0; piece * PIECE < k_quads; ++piece) {
    barrier();  // nobody reads the tile any more
    LoadKeys(piece);
    barrier();
    const uint count = min(PIECE, k_quads - piece * PIECE);
    for (uint quad = 0; quad < count; ++quad) {
      const vec4 k = tile[key * (PIECE + 1) + quad];
      for (uint i = 0; i < ROWS / step; ++i) {
        dots[i] += dot(query[(first + i * step) * K_QUADS + piece * PIECE + quad], k);
      }
    }
  }
  for (uint i = 0; i < ROWS / step; ++i) {
    const uint row = first + i * step;
    const bool is_seen = Sees(row, sequence, base + int(key));
    weights[row * KEYS + key] = is_seen ? dots[i] : LOWEST;
  }
}

// From scores to weights, a subgroup a row.
void Weigh() {
  for (uint row = gl_SubgroupID; row < ROWS; row += gl_NumSubgroups) {
    float top = LOWEST;
    for (uint i = gl_SubgroupInvocationID; i < KEYS; i += gl_SubgroupSize) {
      top = max(top, weights[row * KEYS + i]);
    }
    top = max(largest[row], subgroupMax(top));
    float sum = 0;
    for (uint i = gl_SubgroupInvocationID; i < KEYS; i += gl_SubgroupSize) {
      const float score = weights[row * KEYS + i];
      const float weight = score != LOWEST ? exp(score - top) : 0;
      weights[row * KEYS + i] = weight;
      sum += weight;
    }
    sum = subgroupAdd(sum);
    if (subgroupElect()) {
      fades[row] = exp(largest[row] - top);
      sums[row] = sums[row] * fades[row] + sum;
      largest[row] = top;
    }
  }
}

void AddValues(uint count) {
  for (uint piece = 0; piece < V_PIECES; ++piece) {
    barrier();  // nobody reads the tile any more, and weights are there
    LoadValues(piece);
    barrier();
    for (uint i = 0; i < MY_ROWS; ++i) results[piece * MY_ROWS + i] *= fades[Row(i)];
    for (uint key = 0; key < count; ++key) {
      const vec4 v = tile[key * (PIECE + 1) + Quad()];
      for (uint i = 0; i < MY_ROWS; ++i) {
        results[piece * MY_ROWS + i] += weights[Row(i) * KEYS + key] * v;
      }
    }
  }
}

void Attend(uint kv_head, int sequence, ivec2 range) {
  for (int base = range.x; base < range.y; base += int(KEYS)) {
    const uint count = min(KEYS, uint(range.y - base)), lane = gl_LocalInvocationID.x;
    barrier();  // nobody reads the last tile's rows and weights any more
    if (lane < KEYS) {
      cache_rows[lane] = lane < count ? CacheRow(sequence, kv_head, base + int(lane)) : NO_ROW;
    }
    Score(sequence, base);
    barrier();
    Weigh();
    AddValues(count);
  }
}

void StoreResults(uint which, uint kv_head) {
  uint token, head;
  for (uint i = 0; i < MY_ROWS; ++i) {
    if (!FindQuery(which, Row(i), token, head)) continue;
    const uint to = RowOfQuery(token, kv_head, head) * v_quads;
    const float factor = sums[Row(i)] > 0 ? 1 / sums[Row(i)] : 0;
    for (uint piece = 0; piece < V_PIECES; ++piece) {
      const uint quad = piece * PIECE + Quad();
      if (quad < v_quads) y[to + quad] = results[piece * MY_ROWS + i] * factor;
    }
  }
}

#ifdef SPLIT
#include "attention_split.glsl"
#else
// The indices that rows of this sequence see, all together.
ivec2 RangeOf(int sequence) {
  ivec2 range = ivec2(0x7fffffff, 0);
  for (uint row = 0; row < ROWS; ++row) {
    if (seen[row].z != sequence) continue;
    range = ivec2(min(range.x, seen[row].x), max(range.y, seen[row].y));
  }
  return range;
}

bool IsFirstOf(int sequence, uint row) {
  for (uint before = 0; before < row; ++before) {
    if (seen[before].z == sequence) return false;
  }
  return true;
}

void AttendTile(uint which, uint kv_head) {
  LoadQueries(which, kv_head);
  barrier();
  // Tokens of several sequences may share a tile: one sequence after the other.
  int last = -1;
  for (uint row = 0; row < ROWS; ++row) {
    const int sequence = seen[row].z;
    if (sequence < 0 || sequence == last || !IsFirstOf(sequence, row)) continue;
    Attend(kv_head, sequence, RangeOf(sequence));
    last = sequence;
  }
  StoreResults(which, kv_head);
}

void main() {
  const uint tiles = (Value(tokens) + tokens_per_tile - 1) / tokens_per_tile * tiles_per_token;
  for (uint i = gl_WorkGroupID.x; i < tiles * kv_heads; i += gl_NumWorkGroups.x) {
    barrier();  // the last tile's rows are done with
    AttendTile(i / kv_heads, i % kv_heads);
  }
}
#endif
