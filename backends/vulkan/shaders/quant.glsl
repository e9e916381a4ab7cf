// Weights in binding 1, as 16-bit words: what all block formats are made of. Each quant_<type>.glsl
// has RowBytes for a row, and Decode16, the 16 elements of group `group` of the row that begins at
// byte `row`. `columns` are the shader's: a multiple of 16, or, where RAGGED, of 4, with zeros from
// there on. The layouts are those of graph/formats/blocks.h.
#include "half.glsl"

layout(std430, binding = 1) readonly buffer Words { uint16_t words[]; };

// Offsets are in bytes, and even.
uint Word(uint at) { return uint(words[at >> 1]); }
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

#if defined(QUANT_f32) || defined(QUANT_f16) || defined(QUANT_bf16)
const bool RAGGED = true;
#else
const bool RAGGED = false;
#endif
// Quads of elements that group `group` has.
uint QuadsIn(uint group) { return RAGGED ? min(4, columns / 4 - 4 * group) : 4; }
uint GroupsInRow() { return (columns + 15) / 16; }

#if defined(QUANT_f32)
#include "quant_f32.glsl"
#elif defined(QUANT_f16)
#include "quant_f16.glsl"
#elif defined(QUANT_bf16)
#include "quant_bf16.glsl"
#elif defined(QUANT_q8_0)
#include "quant_q8_0.glsl"
#elif defined(QUANT_q4_0)
#include "quant_q4_0.glsl"
#elif defined(QUANT_q4_1)
#include "quant_q4_1.glsl"
#elif defined(QUANT_q5_0)
#include "quant_q5_0.glsl"
#elif defined(QUANT_q5_1)
#include "quant_q5_1.glsl"
#elif defined(QUANT_q2_k)
#include "quant_q2_k.glsl"
#elif defined(QUANT_q3_k)
#include "quant_q3_k.glsl"
#elif defined(QUANT_q4_k)
#include "quant_q4_k.glsl"
#elif defined(QUANT_q5_k)
#include "quant_q5_k.glsl"
#elif defined(QUANT_q6_k)
#include "quant_q6_k.glsl"
#elif defined(QUANT_iq4_nl)
#include "quant_iq4_nl.glsl"
#elif defined(QUANT_iq4_xs)
#include "quant_iq4_xs.glsl"
#endif
