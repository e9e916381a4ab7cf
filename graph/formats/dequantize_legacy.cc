// Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
#include "graph/formats/blocks.h"
#include "graph/formats/dequantize_families.h"

namespace sluice {
namespace {

void DecodeQ4_0(const BlockQ4_0& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((block.qs[i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((block.qs[i] >> 4) - 8);
  }
}

void DecodeQ4_1(const BlockQ4_1& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  const float m = LoadF16(block.m);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(block.qs[i] & 15) + m;
    out[i + 16] = d * static_cast<float>(block.qs[i] >> 4) + m;
  }
}

// The fifth bit of an element, in place above its nibble.
int HighBit(uint32_t qh, int element) { return static_cast<int>((qh >> element) & 1u) << 4; }

void DecodeQ5_0(const BlockQ5_0& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  const uint32_t qh = LoadU32(block.qh);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(((block.qs[i] & 15) | HighBit(qh, i)) - 16);
    out[i + 16] = d * static_cast<float>(((block.qs[i] >> 4) | HighBit(qh, i + 16)) - 16);
  }
}

void DecodeQ5_1(const BlockQ5_1& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  const float m = LoadF16(block.m);
  const uint32_t qh = LoadU32(block.qh);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((block.qs[i] & 15) | HighBit(qh, i)) + m;
    out[i + 16] = d * static_cast<float>((block.qs[i] >> 4) | HighBit(qh, i + 16)) + m;
  }
}

void DecodeQ8_0(const BlockQ8_0& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(block.qs[i]);
}

constexpr Dequantizer kRows[] = {
    {DType::kQ4_0, DecodeBlocks<BlockQ4_0, DecodeQ4_0>},
    {DType::kQ4_1, DecodeBlocks<BlockQ4_1, DecodeQ4_1>},
    {DType::kQ5_0, DecodeBlocks<BlockQ5_0, DecodeQ5_0>},
    {DType::kQ5_1, DecodeBlocks<BlockQ5_1, DecodeQ5_1>},
    {DType::kQ8_0, DecodeBlocks<BlockQ8_0, DecodeQ8_0>},
};

}  // namespace

absl::Span<const Dequantizer> LegacyDequantizers() { return kRows; }

}  // namespace sluice
