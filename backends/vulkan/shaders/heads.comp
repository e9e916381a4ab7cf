// Heads of x [tokens,heads,width], each normed or not, rotated or not, and stored in a tensor or in
// a paged cache of any format; a workgroup a head. One pipeline does all of rope, qk_norm_rope and
// kv_append: branches that all invocations take alike cost less than compiling variants. Only what
// stores blocks is left out where none are stored.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"
#include "cache.glsl"
#include "rope.glsl"
#define ERRORS 8
#include "errors.glsl"

layout(local_size_x = 64) in;
layout(constant_id = 0) const bool IN_BLOCKS = false;  // the target is a cache in q8_0
// The limit in kernels/heads.cc.
const uint MAX_WIDTH = 1024;
const uint NORM = 1, NEOX = 2, FACTORS = 4;  // flags
// Where rows go: 0, or 1 more than the cache's format.
const uint TENSOR = 0;

layout(std430, binding = 1) readonly buffer X { float x[]; };
layout(std430, binding = 2) readonly buffer Gain { float gain[]; };
layout(std430, binding = 3) readonly buffer Positions { int positions[]; };
layout(std430, binding = 4) readonly buffer Slots { int slots[]; };
layout(std430, binding = 5) readonly buffer Factors { float factors[]; };
layout(std430, binding = 6) readonly buffer Speeds { uvec2 speeds[]; };
layout(std430, binding = 7) writeonly buffer Y32 { float y32[]; };
layout(std430, binding = 7) writeonly buffer Y16 { uint16_t y16[]; };
layout(push_constant) uniform Push {
  uvec2 tokens;
  uvec2 slot_count;  // of the cache
  uint heads;
  uint width;
  uint pairs;  // that are rotated
  uint flags;
  uint target;
  uint block_size;
  float eps;
  float magnitude;
};

shared float row[MAX_WIDTH];

void Store(uint at, float value) {
  if (target == F16 + 1) {
    y16[at] = uint16_t(ToF16(value));
  } else if (target == BF16 + 1) {
    y16[at] = uint16_t(ToBf16(value));
  } else {
    y32[at] = value;
  }
}

// To nearest, ties away from zero, as a byte.
uint ToByte(float value) {
  const int whole = int(value);
  const float rest = value - float(whole);
  return uint(whole + int(rest >= 0.5) - int(rest <= -0.5)) & 255u;
}

// Elements begin .. begin + 31 of the row, as the block of q8_0 that begins at word `at`.
void StoreBlock(uint at, uint begin) {
  float largest = 0;
  for (uint i = begin; i < begin + 32; ++i) largest = max(largest, abs(row[i]));
  const float step = largest / 127;
  const float inverse = step > 2.94e-39 ? 1 / step : 0;  // below, it would be infinite
  y16[at] = uint16_t(ToF16(step));
  for (uint i = 0; i < 16; ++i) {
    const uint low = ToByte(row[begin + 2 * i] * inverse);
    y16[at + 1 + i] = uint16_t(low | ToByte(row[begin + 2 * i + 1] * inverse) << 8);
  }
}

uvec2 SpeedOf(uint pair) {
  if ((flags & FACTORS) == 0) return speeds[pair];
  const float factor = factors[pair];
  if (!(factor > 0 && factor <= 3.4e38)) {
    Report(NUMBER_ERROR, 0, pair, 0);
    return uvec2(0);
  }
  return Divide(speeds[pair], factor);
}

void LoadRow(uint from) {
  float squares = 0;
  for (uint i = gl_LocalInvocationID.x; i < width; i += gl_WorkGroupSize.x) {
    const float value = x[from + i];
    row[i] = value;
    squares += value * value;
  }
  if ((flags & NORM) != 0) {
    const float scale = 1 / sqrt(WorkgroupSum(squares) / float(width) + eps);
    for (uint i = gl_LocalInvocationID.x; i < width; i += gl_WorkGroupSize.x) {
      row[i] *= scale * gain[i];
    }
  }
  barrier();
}

void RotateRow(uint token) {
  for (uint pair = gl_LocalInvocationID.x; pair < pairs; pair += gl_WorkGroupSize.x) {
    const bool neox = (flags & NEOX) != 0;
    const uint first = neox ? pair : 2 * pair, second = first + (neox ? pairs : 1);
    const vec2 turn = CosSin(Turns(positions[token], SpeedOf(pair))) * magnitude;
    const vec2 at = vec2(row[first], row[second]);
    row[first] = at.x * turn.x - at.y * turn.y;
    row[second] = at.x * turn.y + at.y * turn.x;
  }
  barrier();
}

void StoreRow(uint to) {
  if (IN_BLOCKS) {
    for (uint i = 32 * gl_LocalInvocationID.x; i < width; i += 32 * gl_WorkGroupSize.x) {
      StoreBlock((to + i) / 32 * 17, i);
    }
    return;
  }
  for (uint i = gl_LocalInvocationID.x; i < width; i += gl_WorkGroupSize.x) Store(to + i, row[i]);
}

void main() {
  const uint rows = Value(tokens) * heads;
  for (uint r = gl_WorkGroupID.x; r < rows; r += gl_NumWorkGroups.x) {
    const uint token = r / heads, head = r % heads;
    uint to = r * width;
    LoadRow(r * width);
    bool is_there = true;
    if (target != TENSOR) {
      is_there = IsIndex(slots[token], token, Value(slot_count));
      const uint slot = is_there ? uint(slots[token]) : 0;
      to = ((slot / block_size * heads + head) * block_size + slot % block_size) * width;
    }
    if (pairs != 0) RotateRow(token);
    if (is_there) StoreRow(to);
    barrier();  // before the row is loaded anew
  }
}
