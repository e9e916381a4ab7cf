// IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S.
//
// A block is first taken apart into bytes, by copies of whole points, and then made into floats in
// loops over all of its elements alike, which compilers vectorise.
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "graph/formats/blocks.h"
#include "graph/formats/dequantize_families.h"
#include "graph/formats/grids.h"

namespace sluice {
namespace {

struct Parts {
  float scales[16];  // of 16 elements each
  int8_t points[256];
  int8_t minus[256];  // all bits set where an element (IQ1: a shift) is negative, or none
};

// By eight sign bits: a byte for each, with all bits set for a minus.
constexpr auto kMasks = [] {
  std::array<std::array<int8_t, 8>, 256> masks{};
  for (unsigned bits = 0; bits < masks.size(); ++bits) {
    for (unsigned i = 0; i < 8; ++i) masks[bits][i] = (bits >> i & 1) != 0 ? -1 : 0;
  }
  return masks;
}();
// The same for 7 bits and the one that makes the number of minuses even.
constexpr auto kEvenMasks = [] {
  std::array<std::array<int8_t, 8>, 128> masks{};
  for (unsigned bits = 0; bits < masks.size(); ++bits) {
    masks[bits] = kMasks[bits | (std::popcount(bits) % 2 != 0 ? 128 : 0)];
  }
  return masks;
}();

// Sets the elements n * kWidth ... of points or masks.
template <size_t kWidth>
void Put(const std::array<int8_t, kWidth>& bytes, int n, int8_t* elements) {
  std::memcpy(elements + static_cast<size_t>(n) * kWidth, bytes.data(), kWidth);
}

// A quantised scale stands for an odd number.
float OddScale(float unit, uint32_t scale) { return unit * static_cast<float>(2 * scale + 1); }
// The scale of group g, which is in nibble g % 2 of scales[g / 2].
float NibbleScale(float unit, const uint8_t* scales, int g) {
  return OddScale(unit, scales[g / 2] >> (4 * (g % 2)) & 15);
}
// Sets the scale of group g where groups have 32 elements: two of those in Parts.
void PutScale32(float scale, int g, Parts* parts) {
  parts->scales[2 * g] = parts->scales[2 * g + 1] = scale;
}

void TakeApart(const BlockIQ2_XXS& block, Parts* parts) {
  const float unit = LoadF16(block.d) * 0.125f;
  for (int g = 0; g < 8; ++g) {
    const uint8_t* points = block.qs + 8 * g;
    const uint32_t signs_scale = LoadU32(points + 4);
    PutScale32(OddScale(unit, signs_scale >> 28), g, parts);
    for (int p = 0; p < 4; ++p) {
      Put(kGridIQ2XXS[points[p]], 4 * g + p, parts->points);
      Put(kEvenMasks[signs_scale >> (7 * p) & 127], 4 * g + p, parts->minus);
    }
  }
}

void TakeApart(const BlockIQ2_XS& block, Parts* parts) {
  const float unit = LoadF16(block.d) * 0.125f;
  for (int g = 0; g < 16; ++g) parts->scales[g] = NibbleScale(unit, block.scales, g);
  for (int p = 0; p < 32; ++p) {
    const unsigned q = LoadU16(block.qs + 2 * p);
    Put(kGridIQ2XS[q & 511], p, parts->points);
    Put(kEvenMasks[q >> 9], p, parts->minus);
  }
}

void TakeApart(const BlockIQ2_S& block, Parts* parts) {
  const float unit = LoadF16(block.d) * 0.125f;
  for (int g = 0; g < 16; ++g) parts->scales[g] = NibbleScale(unit, block.scales, g);
  for (int p = 0; p < 32; ++p) {
    const unsigned high = block.qh[p / 4] >> (2 * (p % 4)) & 3;
    Put(kGridIQ2S[block.qs[p] | high << 8], p, parts->points);
    Put(kMasks[block.signs[p]], p, parts->minus);
  }
}

void TakeApart(const BlockIQ3_XXS& block, Parts* parts) {
  const float unit = LoadF16(block.d) * 0.25f;
  for (int p = 0; p < 64; ++p) Put(kGridIQ3XXS[block.qs[p]], p, parts->points);
  for (int g = 0; g < 8; ++g) {
    const uint32_t signs_scale = LoadU32(block.scales_signs + 4 * g);
    PutScale32(OddScale(unit, signs_scale >> 28), g, parts);
    for (int n = 0; n < 4; ++n) {
      Put(kEvenMasks[signs_scale >> (7 * n) & 127], 4 * g + n, parts->minus);
    }
  }
}

void TakeApart(const BlockIQ3_S& block, Parts* parts) {
  const float unit = LoadF16(block.d);
  for (int g = 0; g < 8; ++g) PutScale32(NibbleScale(unit, block.scales, g), g, parts);
  for (int p = 0; p < 64; ++p) {
    const unsigned high = block.qh[p / 8] >> (p % 8) & 1;
    Put(kGridIQ3S[block.qs[p] | high << 8], p, parts->points);
  }
  for (int n = 0; n < 32; ++n) Put(kMasks[block.signs[n]], n, parts->minus);
}

void TakeApart(const BlockIQ1_S& block, Parts* parts) {
  const float unit = LoadF16(block.d) * 0.125f;
  for (int g = 0; g < 8; ++g) {
    const unsigned qh = LoadU16(block.qh + 2 * g);
    PutScale32(OddScale(unit, qh >> 12 & 7), g, parts);
    for (int p = 0; p < 4; ++p) {
      const unsigned high = qh >> (3 * p) & 7;
      Put(kGridIQ1[block.qs[4 * g + p] | high << 8], 4 * g + p, parts->points);
      Put(kMasks[qh >> 15 != 0 ? 255 : 0], 4 * g + p, parts->minus);
    }
  }
}

void TakeApart(const BlockIQ1_M& block, Parts* parts) {
  const float unit = LoadScaleIQ1M(block) * 0.125f;
  for (int g = 0; g < 16; ++g) parts->scales[g] = OddScale(unit, UnpackScaleIQ1M(block, g));
  for (int p = 0; p < 32; ++p) {
    const unsigned qh = block.qh[p / 2] >> (4 * (p % 2)) & 15;
    Put(kGridIQ1[block.qs[p] | (qh & 7) << 8], p, parts->points);
    Put(kMasks[qh >> 3 != 0 ? 255 : 0], p, parts->minus);
  }
}

template <typename Block>
void DecodeSigned(const Block& block, float* __restrict out) {
  Parts parts;
  TakeApart(block, &parts);
  for (int g = 0; g < 16; ++g) {
    for (int i = 16 * g; i < 16 * g + 16; ++i) {
      const int8_t minus = parts.minus[i];
      const auto q = static_cast<int8_t>((parts.points[i] ^ minus) - minus);
      out[i] = parts.scales[g] * static_cast<float>(q);
    }
  }
}

template <typename Block>
void DecodeShifted(const Block& block, float* __restrict out) {
  Parts parts;
  TakeApart(block, &parts);
  for (int g = 0; g < 16; ++g) {
    for (int i = 16 * g; i < 16 * g + 16; ++i) {
      const auto q = static_cast<int8_t>(parts.points[i] + (parts.minus[i] | 1));
      out[i] = parts.scales[g] * static_cast<float>(q);
    }
  }
}

constexpr Dequantizer kRows[] = {
    {DType::kIQ1_S, DecodeBlocks<BlockIQ1_S, DecodeShifted>},
    {DType::kIQ1_M, DecodeBlocks<BlockIQ1_M, DecodeShifted>},
    {DType::kIQ2_XXS, DecodeBlocks<BlockIQ2_XXS, DecodeSigned>},
    {DType::kIQ2_XS, DecodeBlocks<BlockIQ2_XS, DecodeSigned>},
    {DType::kIQ2_S, DecodeBlocks<BlockIQ2_S, DecodeSigned>},
    {DType::kIQ3_XXS, DecodeBlocks<BlockIQ3_XXS, DecodeSigned>},
    {DType::kIQ3_S, DecodeBlocks<BlockIQ3_S, DecodeSigned>},
};

}  // namespace

absl::Span<const Dequantizer> GridDequantizers() { return kRows; }

}  // namespace sluice
