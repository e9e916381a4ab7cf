// The bytes of every block format, field by field, as GGUF files store them.
//
// Facts: ggml-common.h of llama.cpp (block_* structures). All fields are bytes, so that a block
// may lie at any address: the oldest model files do not align their tensors. Multi-byte numbers
// are little-endian.
//
// Where nothing else is said, element i < 16 is the low nibble of qs[i] and element i + 16 its high
// nibble.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "graph/formats/half.h"

namespace sluice {

struct HalfField {
  uint8_t bytes[2];
};

inline uint16_t LoadU16(const uint8_t* bytes) {
  return static_cast<uint16_t>(bytes[0] | (bytes[1] << 8));
}
inline uint32_t LoadU32(const uint8_t* bytes) {
  return LoadU16(bytes) | static_cast<uint32_t>(LoadU16(bytes + 2)) << 16;
}
inline float LoadF16(const HalfField& field) { return F32FromF16(LoadU16(field.bytes)); }
inline void StoreF16(float value, HalfField& field) {
  const uint16_t bits = F16FromF32(value);
  field.bytes[0] = static_cast<uint8_t>(bits);
  field.bytes[1] = static_cast<uint8_t>(bits >> 8);
}

// d * (q - 8), q of 4 bits.
struct BlockQ4_0 {
  static constexpr int kElements = 32;
  HalfField d;
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_0) == 18);

// d * q + m, q of 4 bits.
struct BlockQ4_1 {
  static constexpr int kElements = 32;
  HalfField d;
  HalfField m;
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_1) == 20);

// d * (q - 16), q of 5 bits; the fifth bit of element i is bit i of qh.
struct BlockQ5_0 {
  static constexpr int kElements = 32;
  HalfField d;
  uint8_t qh[4];
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_0) == 22);

// d * q + m, q as in Q5_0.
struct BlockQ5_1 {
  static constexpr int kElements = 32;
  HalfField d;
  HalfField m;
  uint8_t qh[4];
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

// d * q.
struct BlockQ8_0 {
  static constexpr int kElements = 32;
  HalfField d;
  int8_t qs[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

// In 16 groups of 16: d * scale * q - dmin * min, q of 2 bits.
// Group g: scale in the low, min in the high nibble of scales[g].
// Element 128 h + 32 j + l (l < 32): bits 2j, 2j + 1 of qs[32 h + l].
struct BlockQ2_K {
  static constexpr int kElements = 256;
  uint8_t scales[16];
  uint8_t qs[64];
  HalfField d;
  HalfField dmin;
};
static_assert(sizeof(BlockQ2_K) == 84);

// In 16 groups of 16: d * (scale - 32) * (q - 4), scale of 6 bits, q of 3.
// Element 128 h + 32 j + l (l < 32): low bits as in Q2_K, high bit is bit 4 h + j of hmask[l].
// Group g: low four bits of its scale in nibble g / 8 of scales[g % 8], high two in bits
// 2 (g / 4), 2 (g / 4) + 1 of scales[8 + g % 4].
struct BlockQ3_K {
  static constexpr int kElements = 256;
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  HalfField d;
};
static_assert(sizeof(BlockQ3_K) == 110);

// In 8 groups of 32: d * scale * q - dmin * min, scale and min of 6 bits, q of 4.
// Element 64 c + 32 n + l (l < 32): nibble n of qs[32 c + l].
// Groups g < 4: the low six bits of scales[g] (scale) and scales[g + 4] (min). Groups g >= 4: the
// low (scale) and high (min) nibble of scales[g + 4], below the top two bits of scales[g - 4]
// (scale) and scales[g] (min).
struct BlockQ4_K {
  static constexpr int kElements = 256;
  HalfField d;
  HalfField dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ4_K) == 144);

// Q4_K with a fifth bit: that of element 32 g + l is bit g of qh[l].
struct BlockQ5_K {
  static constexpr int kElements = 256;
  HalfField d;
  HalfField dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ5_K) == 176);

// In 16 groups of 16: d * scales[g] * (q - 32), q of 6 bits.
// Element 128 h + 32 j + l (l < 32): low four bits in nibble j / 2 of ql[64 h + 32 (j % 2) + l],
// high two in bits 2j, 2j + 1 of qh[32 h + l].
struct BlockQ6_K {
  static constexpr int kElements = 256;
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  HalfField d;
};
static_assert(sizeof(BlockQ6_K) == 210);

// d * kIq4Values[q], q of 4 bits.
struct BlockIQ4_NL {
  static constexpr int kElements = 32;
  HalfField d;
  uint8_t qs[16];
};
static_assert(sizeof(BlockIQ4_NL) == 18);

// In 8 groups of 32: d * (scale - 32) * kIq4Values[q], scale of 6 bits.
// Group g is laid out as IQ4_NL in qs[16 g ...]. Low four bits of its scale: nibble g % 2 of
// scales_l[g / 2]; high two: bits 2g, 2g + 1 of the 16-bit number scales_h.
struct BlockIQ4_XS {
  static constexpr int kElements = 256;
  HalfField d;
  uint8_t scales_h[2];
  uint8_t scales_l[4];
  uint8_t qs[128];
};
static_assert(sizeof(BlockIQ4_XS) == 136);

// d * q, q = -1 or 1; element i is 1 where bit i % 8 of qs[i / 8] is set.
struct BlockQ1_0 {
  static constexpr int kElements = 128;
  HalfField d;
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ1_0) == 18);

// d * (q - 1), q of 2 bits: 2 (i % 4), 2 (i % 4) + 1 of qs[i / 4] for element i.
struct BlockQ2_0 {
  static constexpr int kElements = 64;
  HalfField d;
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ2_0) == 18);

// d * (q - 1), q a digit in base 3: a byte b stands for the fraction b / 256, whose digit n is
// (b * 3^(n + 1) >> 8) % 3.
// Element 32 n + l (n < 5, l < 32): digit n of qs[l]. Element 160 + 16 n + l (n < 5, l < 16): digit
// n of qs[32 + l]. Element 240 + 4 n + l (n < 4, l < 4): digit n of qh[l].
struct BlockTQ1_0 {
  static constexpr int kElements = 256;
  uint8_t qs[48];
  uint8_t qh[4];
  HalfField d;
};
static_assert(sizeof(BlockTQ1_0) == 54);

// d * (q - 1), q of 2 bits.
// Element 128 h + 32 j + l (l < 32): bits 2j, 2j + 1 of qs[32 h + l].
struct BlockTQ2_0 {
  static constexpr int kElements = 256;
  uint8_t qs[64];
  HalfField d;
};
static_assert(sizeof(BlockTQ2_0) == 66);

// HalfOfE8M0(e) * kFp4Values[q], q of 4 bits: MXFP4 of the OCP Microscaling Formats
// specification 1.0, but for e = 255, which is a NaN there.
struct BlockMXFP4 {
  static constexpr int kElements = 32;
  uint8_t e;
  uint8_t qs[16];
};
static_assert(sizeof(BlockMXFP4) == 17);

// In 4 groups of 16: HalfOfUE4M3(d[g]) * kFp4Values[q], q of 4 bits.
// Element 16 g + i (i < 8) is the low nibble of qs[8 g + i], element 16 g + 8 + i its high nibble.
struct BlockNVFP4 {
  static constexpr int kElements = 64;
  uint8_t d[4];
  uint8_t qs[32];
};
static_assert(sizeof(BlockNVFP4) == 36);

// From here on quants are points of the format's grid (grids.h), 8 or 4 elements each, and signs
// are bits, 1 for minus: bit j is that of the j-th element. Where there are only 7 signs for 8
// elements, the last element is negative where that makes the number of minuses even.

// In 8 groups of 32: d * (2 scale + 1) / 8 * point, scale of 4 bits, in 4 points of 8.
// Group g: its points are bytes 0 .. 3 of qs[8 g ...]; the other four are a 32-bit number, 7 signs
// of point p in bits 7p ... 7p + 6, the scale in bits 28 .. 31.
struct BlockIQ2_XXS {
  static constexpr int kElements = 256;
  HalfField d;
  uint8_t qs[64];
};
static_assert(sizeof(BlockIQ2_XXS) == 66);

// In 16 groups of 16: d * (2 scale + 1) / 8 * point, scale of 4 bits.
// Elements 8 p ...: the 16-bit number qs[2 p], the point in bits 0 .. 8, 7 signs in bits 9 .. 15.
// Group g: scale in nibble g % 2 of scales[g / 2].
struct BlockIQ2_XS {
  static constexpr int kElements = 256;
  HalfField d;
  uint8_t qs[64];
  uint8_t scales[8];
};
static_assert(sizeof(BlockIQ2_XS) == 74);

// IQ2_XS with more points and signs: elements 8 p ... are the point with the low eight bits qs[p]
// and the high two in bits 2 (p % 4), 2 (p % 4) + 1 of qh[p / 4], with the signs signs[p].
struct BlockIQ2_S {
  static constexpr int kElements = 256;
  HalfField d;
  uint8_t qs[32];
  uint8_t signs[32];
  uint8_t qh[8];
  uint8_t scales[8];
};
static_assert(sizeof(BlockIQ2_S) == 82);

// In 8 groups of 32: d * (2 scale + 1) / 4 * point, scale of 4 bits.
// Elements 4 p ...: the point qs[p]. Group g: the 32-bit number scales_signs[4 g], 7 signs of its
// elements 8 n ... in bits 7n .. 7n + 6, the scale in bits 28 .. 31.
struct BlockIQ3_XXS {
  static constexpr int kElements = 256;
  HalfField d;
  uint8_t qs[64];
  uint8_t scales_signs[32];
};
static_assert(sizeof(BlockIQ3_XXS) == 98);

// In 8 groups of 32: d * (2 scale + 1) * point, scale of 4 bits.
// Elements 4 p ...: the point with the low eight bits qs[p] and the ninth in bit p % 8 of
// qh[p / 8]. Elements 8 n ...: the signs signs[n]. Group g: scale in nibble g % 2 of scales[g / 2].
struct BlockIQ3_S {
  static constexpr int kElements = 256;
  HalfField d;
  uint8_t qs[64];
  uint8_t qh[8];
  uint8_t signs[32];
  uint8_t scales[4];
};
static_assert(sizeof(BlockIQ3_S) == 110);

// In 8 groups of 32: d * (2 scale + 1) / 8 * (point + shift), scale of 3 bits, shift -1 or 1.
// Group g has 4 points of 8 and the 16-bit number qh[2 g]: scale in bits 12 .. 14, bit 15 is set
// where the shift is -1. The point p of the group: low eight bits qs[4 g + p], high three bits
// 3p .. 3p + 2 of that number.
struct BlockIQ1_S {
  static constexpr int kElements = 256;
  HalfField d;
  uint8_t qs[32];
  uint8_t qh[16];
};
static_assert(sizeof(BlockIQ1_S) == 50);

// In 16 groups of 16: d * (2 scale + 1) / 8 * (point + shift), scale of 3 bits, shift -1 or 1.
// Elements 8 p ...: the point with the low eight bits qs[p]; of nibble p % 2 of qh[p / 2] three
// bits are its high ones and the top one is set where the shift is -1.
// Group g: bits 3 (g % 4) ... of the 16-bit number scales[2 (g / 4)]. The top nibbles of these four
// numbers are d, lowest first.
struct BlockIQ1_M {
  static constexpr int kElements = 256;
  uint8_t qs[32];
  uint8_t qh[16];
  uint8_t scales[8];
};
static_assert(sizeof(BlockIQ1_M) == 56);

// The non-uniform grid of IQ4_NL and IQ4_XS.
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

// Twice the values of the 4-bit float E2M1: MXFP4 and NVFP4 halve their scales for it.
inline constexpr int8_t kFp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// The 6-bit scale and min of one group of 32 of Q4_K and Q5_K, from their 12 packed bytes.
struct ScaleMin {
  int scale;
  int min;
};
inline ScaleMin UnpackScaleMinK(const uint8_t* scales, int group) {
  if (group < 4) return {scales[group] & 63, scales[group + 4] & 63};
  const int low = scales[group + 4];
  return {(low & 15) | (scales[group - 4] >> 6 << 4), (low >> 4) | (scales[group] >> 6 << 4)};
}

// The scale of one group of 16 of Q3_K, -32 .. 31.
inline int UnpackScaleQ3K(const uint8_t* scales, int group) {
  const int low = (scales[group % 8] >> (4 * (group / 8))) & 15;
  const int high = (scales[8 + group % 4] >> (2 * (group / 4))) & 3;
  return (low | (high << 4)) - 32;
}

// The scale of one group of 32 of IQ4_XS, -32 .. 31.
inline int UnpackScaleIQ4XS(const BlockIQ4_XS& block, int group) {
  const int low = (block.scales_l[group / 2] >> (4 * (group % 2))) & 15;
  const int high = (LoadU16(block.scales_h) >> (2 * group)) & 3;
  return (low | (high << 4)) - 32;
}

// Half of 2^(e - 127), an unsigned power of two; 0 and 1 are subnormal numbers.
inline float HalfOfE8M0(uint8_t e) {
  return std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1u) << 23);
}

// Half of an unsigned float with 4 bits of exponent (bias 7) and 3 of mantissa. The top bit means
// nothing. 0x7f, a NaN elsewhere, is 0, as in ggml.
inline float HalfOfUE4M3(uint8_t bits) {
  if (bits == 0x7f) return 0;
  const uint32_t exponent = (bits >> 3) & 15;
  const uint32_t mantissa = bits & 7;
  const uint32_t significand = exponent == 0 ? mantissa : mantissa | 8;
  const float unit = std::bit_cast<float>((std::max(exponent, 1u) + 127 - 11) << 23);
  return unit * static_cast<float>(significand);
}

// The f16 scale of IQ1_M is spread over the top nibbles of four 16-bit numbers.
inline float LoadScaleIQ1M(const BlockIQ1_M& block) {
  uint16_t bits = 0;
  for (int i = 0; i < 4; ++i) {
    bits |= static_cast<uint16_t>(block.scales[2 * i + 1] >> 4 << (4 * i));
  }
  return F32FromF16(bits);
}

// The scale of one group of 16 of IQ1_M, 0 .. 7.
inline uint32_t UnpackScaleIQ1M(const BlockIQ1_M& block, int group) {
  return LoadU16(block.scales + 2 * (group / 4)) >> (3 * (group % 4)) & 7u;
}

}  // namespace sluice
