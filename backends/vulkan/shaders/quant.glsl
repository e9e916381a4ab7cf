// Weights in WEIGHTS buffers (weights.inc) of 16-bit words: what all block formats are made of. The
// format of each is a constant of the pipeline, and decoders of other formats vanish when that is
// made. Each quant_<format>.glsl decodes 16 elements: group `group` of the row that begins at byte
// `row`. `columns` are the shader's: a multiple of 16, or, where RAGGED, of 4, or, in variants with
// ODD, any number; with zeros from there on. The layouts are those of graph/formats/blocks.h.
#include "format_numbers.glsl"
#include "half.glsl"

layout(std430, binding = weights_binding)
readonly buffer Words { uint16_t words[]; } weights[WEIGHTS];
layout(std430, binding = weights_binding)
readonly buffer Floats { float floats[]; } float_weights[WEIGHTS];

uint matrix = 0;  // the weight that is read

// Offsets are in bytes, and even.
uint Word(uint at) { return uint(weights[matrix].words[at >> 1]); }
float Half(uint at) { return FromF16(Word(at)); }
uint Byte(uint at) { return Word(at & ~1u) >> 8 * (at & 1u) & 255u; }
// Four bytes from an even offset on.
uvec4 Bytes(uint at) {
  const uint low = Word(at), high = Word(at + 2);
  return uvec4(low & 255u, low >> 8, high & 255u, high >> 8);
}
// A byte with a sign.
float Signed(uint byte) { return float(int(byte << 24) >> 24); }
vec4 Signed(uvec4 bytes) { return vec4(ivec4(bytes << 24) >> 24); }

const bool RAGGED = FORMAT0 <= BF16 || FORMAT1 <= BF16 || FORMAT2 <= BF16;
// Quads of elements that group `group` has.
uint QuadsIn(uint group) { return RAGGED ? min(4, (columns + 3) / 4 - 4 * group) : 4; }
uint GroupsInRow() { return (columns + 15) / 16; }
uint FormatOf(uint which) { return which == 0 ? FORMAT0 : which == 1 ? FORMAT1 : FORMAT2; }

#ifdef ODD
#include "quant_odd.glsl"
#else
#include "quant_f32.glsl"
#include "quant_f16.glsl"
#include "quant_bf16.glsl"
#include "quant_q8_0.glsl"
#include "quant_q4_0.glsl"
#include "quant_q4_1.glsl"
#include "quant_5.glsl"
#include "quant_q5_0.glsl"
#include "quant_q5_1.glsl"
#include "quant_q2_k.glsl"
#include "quant_q3_k.glsl"
#include "quant_k.glsl"
#include "quant_q4_k.glsl"
#include "quant_q5_k.glsl"
#include "quant_q6_k.glsl"
#include "quant_iq4.glsl"
#include "quant_iq4_nl.glsl"
#include "quant_iq4_xs.glsl"

#define IS_USED(id) (FORMAT0 == id || FORMAT1 == id || FORMAT2 == id)
// 16 elements of weight `which`, on which all invocations of a workgroup agree.
void Decode16(uint which, uint row, uint group, out vec4 v[4]) {
  const uint format = FormatOf(which);
  matrix = which;
#define FORMAT(name, number) \
  if (IS_USED(name) && format == name) Decode##name(row, group, v);
#include "formats.inc"
#undef FORMAT
}
#endif
