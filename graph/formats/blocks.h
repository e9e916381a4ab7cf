// The bytes of every block format, field by field, as GGUF files store them.
//
// Facts: ggml-common.h of llama.cpp (block_* structures). All fields are bytes, so that a block
// may lie at any address: the oldest model files do not align their tensors. Multi-byte numbers
// are little-endian.
//
// Where nothing else is said, element i < 16 is the low nibble of qs[i] and element i + 16 its high
// nibble.
#pragma once

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

// The non-uniform grid of IQ4_NL and IQ4_XS.
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

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

}  // namespace sluice
