// Heads of x [tokens,heads,width], each normed or not, rotated or not, and stored in a tensor or in
// a paged cache of any format; a workgroup a head. Up to three tensors at once (q, k and v), each
// with its own norm, rotation and target. Branches that all invocations take alike cost less than
// compiling variants: there is one pipeline for each number of tensors. Only what stores blocks is
// left out where none are stored.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "heads.inc"
#include "reduce.glsl"
#include "cache.glsl"
#include "rope.glsl"
#include "errors.glsl"

layout(local_size_x = 64) in;
layout(std430, binding = x_binding) readonly buffer X { float of[]; } x[TENSORS];
layout(std430, binding = gain_binding) readonly buffer Gain { float of[]; } gain[TENSORS];
layout(std430, binding = y_binding) writeonly buffer Y32 { float of[]; } y32[TENSORS];
layout(std430, binding = y_binding) writeonly buffer Y16 { uint16_t of[]; } y16[TENSORS];

// The tensor whose head this is; all invocations of a workgroup agree on it.
uint which;
uint heads, width, pairs, flags, target;

// Selects the tensor of head `head` of all, and returns the head's number in it.
uint SelectTensor(uint head) {
  which = 0;
  while (which + 1 < TENSORS && head >= tensors[which].heads) head -= tensors[which++].heads;
  const Tensor t = tensors[which];
  heads = t.heads;
  width = t.width;
  pairs = t.pairs;
  flags = t.flags;
  target = t.target;
  return head;
}

shared float row[MAX_WIDTH];

void Store(uint at, float value) {
  if (target == F16 + 1) {
    y16[which].of[at] = uint16_t(ToF16(value));
  } else if (target == BF16 + 1) {
    y16[which].of[at] = uint16_t(ToBf16(value));
  } else {
    y32[which].of[at] = value;
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
  y16[which].of[at] = uint16_t(ToF16(step));
  for (uint i = 0; i < 16; ++i) {
    const uint low = ToByte(row[begin + 2 * i] * inverse);
    y16[which].of[at + 1 + i] = uint16_t(low | ToByte(row[begin + 2 * i + 1] * inverse) << 8);
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
    const float value = x[which].of[from + i];
    row[i] = value;
    squares += value * value;
  }
  if ((flags & NORM) != 0) {
    const float scale = 1 / sqrt(WorkgroupSum(squares) / float(width) + eps);
    for (uint i = gl_LocalInvocationID.x; i < width; i += gl_WorkGroupSize.x) {
      row[i] *= scale * gain[which].of[i];
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
  if (IN_BLOCKS && target == Q8_0 + 1) {
    for (uint i = 32 * gl_LocalInvocationID.x; i < width; i += 32 * gl_WorkGroupSize.x) {
      StoreBlock((to + i) / 32 * 17, i);
    }
    return;
  }
  for (uint i = gl_LocalInvocationID.x; i < width; i += gl_WorkGroupSize.x) Store(to + i, row[i]);
}

void main() {
  const uint rows = Value(tokens) * all_heads;
  for (uint r = gl_WorkGroupID.x; r < rows; r += gl_NumWorkGroups.x) {
    const uint token = r / all_heads, head = SelectTensor(r % all_heads);
    uint to = (token * heads + head) * width;
    LoadRow(to);
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
