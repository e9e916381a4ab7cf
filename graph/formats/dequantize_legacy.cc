// Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
#include "graph/formats/blocks.h"
#include "graph/formats/dequantize_families.h"

namespace sluice {
namespace {

// The loops go over the low and then the high nibbles: compilers vectorise an inner loop that
// stores in one place.

void DecodeQ4_0(const BlockQ4_0& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i < 16; ++i) {
      const int q = (block.qs[i] >> (4 * half)) & 15;
      out[16 * half + i] = d * static_cast<float>(q - 8);
    }
  }
}

void DecodeQ4_1(const BlockQ4_1& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  const float m = LoadF16(block.m);
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i < 16; ++i) {
      const int q = (block.qs[i] >> (4 * half)) & 15;
      out[16 * half + i] = d * static_cast<float>(q) + m;
    }
  }
}

// The quant of 5 bits at element 16 * half + i, for Q5_0 and Q5_1.
int Quant5(const uint8_t* qs, uint32_t qh, int half, int i) {
  const int low = (qs[i] >> (4 * half)) & 15;
  const int high = static_cast<int>(qh >> (16 * half + i)) & 1;
  return low | (high << 4);
}

void DecodeQ5_0(const BlockQ5_0& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  const uint32_t qh = LoadU32(block.qh);
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i < 16; ++i) {
      out[16 * half + i] = d * static_cast<float>(Quant5(block.qs, qh, half, i) - 16);
    }
  }
}

void DecodeQ5_1(const BlockQ5_1& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  const float m = LoadF16(block.m);
  const uint32_t qh = LoadU32(block.qh);
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i < 16; ++i) {
      out[16 * half + i] = d * static_cast<float>(Quant5(block.qs, qh, half, i)) + m;
    }
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
