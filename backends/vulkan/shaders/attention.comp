// Attention of one head of one token over a paged cache; a workgroup each. Keys are taken 64 at a
// time, one an invocation, with a running maximum and sum (Milakov and Gimelshein 2018,
// arXiv:1805.02867), so that nothing of the context's length is kept.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"
#include "half.glsl"
#define ERRORS 9
#include "errors.glsl"

layout(local_size_x = 64) in;
const uint TILE = 64;
// The limits in kernels/attention.cc.
const uint MAX_WIDTH = 512;
const uint MAX_SUMS = MAX_WIDTH / TILE;

layout(constant_id = 0) const uint K_FORMAT = 0;
layout(constant_id = 1) const uint V_FORMAT = 0;
const uint F32 = 0, F16 = 1;

layout(std430, binding = 1) readonly buffer Q { float q[]; };
layout(std430, binding = 2) readonly buffer K32 { float k32[]; };
layout(std430, binding = 2) readonly buffer K16 { uint16_t k16[]; };
layout(std430, binding = 3) readonly buffer V32 { float v32[]; };
layout(std430, binding = 3) readonly buffer V16 { uint16_t v16[]; };
layout(std430, binding = 4) readonly buffer Positions { int positions[]; };
layout(std430, binding = 5) readonly buffer SeqIds { int seq_ids[]; };
layout(std430, binding = 6) readonly buffer Tables { int tables[]; };
layout(std430, binding = 7) readonly buffer Lens { int lens[]; };
layout(std430, binding = 8) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push {
  uvec2 tokens;
  uvec2 seqs;
  uvec2 table;
  uvec2 blocks;
  uint heads;
  uint kv_heads;
  uint k_width;
  uint v_width;
  uint block_size;
  float scale;
  uint causal;
  uint window;
};

const float NEGATIVE_INFINITY = -3.402823466e38;  // low enough, and differences of it are numbers

shared float query[MAX_WIDTH];
shared float weights[TILE];
shared uint cache_rows[TILE];

float K(uint i) {
  if (K_FORMAT == F32) return k32[i];
  return K_FORMAT == F16 ? FromF16(uint(k16[i])) : FromBf16(uint(k16[i]));
}
float V(uint i) {
  if (V_FORMAT == F32) return v32[i];
  return V_FORMAT == F16 ? FromF16(uint(v16[i])) : FromBf16(uint(v16[i]));
}

// The indices begin .. end - 1 that the token sees, of sequence `sequence`.
ivec2 VisibleTo(uint token, uint sequence) {
  const int most = int(Value(table) * block_size);
  if (lens[sequence] < 0 || lens[sequence] > most) {
    Report(INDEX_ERROR, lens[sequence], sequence, most + 1);
    return ivec2(0);
  }
  int end = lens[sequence], begin = 0;
  if (causal != 0) end = min(end, positions[token] + 1);
  if (window != 0) begin = max(0, positions[token] - int(window) + 1);
  return ivec2(begin, end);
}

// Row of the cache, of kv head `head`, at index j of the sequence.
bool FindRow(uint sequence, uint head, uint j, out uint cache_row) {
  const uint entry = sequence * Value(table) + j / block_size;
  cache_row = 0;
  if (!IsIndex(tables[entry], entry, Value(blocks))) return false;
  cache_row = (uint(tables[entry]) * kv_heads + head) * block_size + j % block_size;
  return true;
}

void Attend(uint sequence, uint head, ivec2 range, uint to) {
  const uint lane = gl_LocalInvocationID.x;
  float largest = NEGATIVE_INFINITY, sum = 0;
  float sums[MAX_SUMS];
  for (uint s = 0; s < MAX_SUMS; ++s) sums[s] = 0;
  for (int base = range.x; base < range.y; base += int(TILE)) {
    float score = NEGATIVE_INFINITY;
    uint cache_row = 0;
    const bool is_seen =
        base + int(lane) < range.y && FindRow(sequence, head, uint(base) + lane, cache_row);
    if (is_seen) {
      score = 0;
      for (uint i = 0; i < k_width; ++i) score += query[i] * K(cache_row * k_width + i);
    }
    const float before = largest;
    largest = max(largest, WorkgroupMax(score));
    const float weight = is_seen ? exp(score - largest) : 0;
    const float fade = exp(before - largest);
    weights[lane] = weight;
    cache_rows[lane] = cache_row;
    sum = sum * fade + WorkgroupSum(weight);
    const uint count = min(TILE, uint(range.y - base));
    for (uint s = 0, i = lane; i < v_width; ++s, i += TILE) {
      float value = sums[s] * fade;
      for (uint j = 0; j < count; ++j) value += weights[j] * V(cache_rows[j] * v_width + i);
      sums[s] = value;
    }
  }
  for (uint s = 0, i = lane; i < v_width; ++s, i += TILE) y[to + i] = sum > 0 ? sums[s] / sum : 0;
}

void main() {
  const uint rows = Value(tokens) * heads;
  for (uint r = gl_WorkGroupID.x; r < rows; r += gl_NumWorkGroups.x) {
    const uint token = r / heads;
    barrier();  // the last head is done with the query
    for (uint i = gl_LocalInvocationID.x; i < k_width; i += gl_WorkGroupSize.x) {
      query[i] = q[r * k_width + i] * scale;
    }
    barrier();
    const bool is_there = IsIndex(seq_ids[token], token, Value(seqs));
    const uint sequence = is_there ? uint(seq_ids[token]) : 0;
    const ivec2 range = is_there ? VisibleTo(token, sequence) : ivec2(0);
    Attend(sequence, r % heads / (heads / kv_heads), range, r * v_width);
  }
}
