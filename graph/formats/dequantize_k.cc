// Q2_K, Q3_K, Q4_K, Q5_K, Q6_K. A pass of the outer loop decodes one group of elements, all at the
// same bit position of their bytes, so that the inner loop shifts by a constant.
#include "graph/formats/blocks.h"
#include "graph/formats/dequantize_families.h"

namespace sluice {
namespace {

void DecodeQ2_K(const BlockQ2_K& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  const float dmin = LoadF16(block.dmin);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(block.scales[group] & 15);
    const float min = dmin * static_cast<float>(block.scales[group] >> 4);
    const uint8_t* qs = block.qs + 32 * (group / 8) + 16 * (group % 2);
    const int shift = group % 8 / 2 * 2;
    for (int l = 0; l < 16; ++l) {
      out[16 * group + l] = scale * static_cast<float>((qs[l] >> shift) & 3) - min;
    }
  }
}

void DecodeQ3_K(const BlockQ3_K& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(UnpackScaleQ3K(block.scales, group));
    const uint8_t* qs = block.qs + 32 * (group / 8) + 16 * (group % 2);
    const uint8_t* hmask = block.hmask + 16 * (group % 2);
    const int shift = group % 8 / 2 * 2;
    const int high_shift = group / 2;
    for (int l = 0; l < 16; ++l) {
      const int low = (qs[l] >> shift) & 3;
      const int high = (hmask[l] >> high_shift) & 1;
      out[16 * group + l] = scale * static_cast<float>((low | (high << 2)) - 4);
    }
  }
}

void DecodeQ4_K(const BlockQ4_K& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  const float dmin = LoadF16(block.dmin);
  for (int group = 0; group < 8; ++group) {
    const ScaleMin packed = UnpackScaleMinK(block.scales, group);
    const float scale = d * static_cast<float>(packed.scale);
    const float min = dmin * static_cast<float>(packed.min);
    const uint8_t* qs = block.qs + 32 * (group / 2);
    const int shift = 4 * (group % 2);
    for (int l = 0; l < 32; ++l) {
      out[32 * group + l] = scale * static_cast<float>((qs[l] >> shift) & 15) - min;
    }
  }
}

void DecodeQ5_K(const BlockQ5_K& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  const float dmin = LoadF16(block.dmin);
  for (int group = 0; group < 8; ++group) {
    const ScaleMin packed = UnpackScaleMinK(block.scales, group);
    const float scale = d * static_cast<float>(packed.scale);
    const float min = dmin * static_cast<float>(packed.min);
    const uint8_t* qs = block.qs + 32 * (group / 2);
    const int shift = 4 * (group % 2);
    for (int l = 0; l < 32; ++l) {
      const int low = (qs[l] >> shift) & 15;
      const int high = (block.qh[l] >> group) & 1;
      out[32 * group + l] = scale * static_cast<float>(low | (high << 4)) - min;
    }
  }
}

void DecodeQ6_K(const BlockQ6_K& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(block.scales[group]);
    const int half = group / 8;
    const int quarter = group % 8 / 2;
    const uint8_t* ql = block.ql + 64 * half + 32 * (quarter % 2) + 16 * (group % 2);
    const uint8_t* qh = block.qh + 32 * half + 16 * (group % 2);
    const int low_shift = 4 * (quarter / 2);
    const int high_shift = 2 * quarter;
    for (int l = 0; l < 16; ++l) {
      const int low = (ql[l] >> low_shift) & 15;
      const int high = (qh[l] >> high_shift) & 3;
      out[16 * group + l] = scale * static_cast<float>((low | (high << 4)) - 32);
    }
  }
}

constexpr Dequantizer kRows[] = {
    {DType::kQ2_K, DecodeBlocks<BlockQ2_K, DecodeQ2_K>},
    {DType::kQ3_K, DecodeBlocks<BlockQ3_K, DecodeQ3_K>},
    {DType::kQ4_K, DecodeBlocks<BlockQ4_K, DecodeQ4_K>},
    {DType::kQ5_K, DecodeBlocks<BlockQ5_K, DecodeQ5_K>},
    {DType::kQ6_K, DecodeBlocks<BlockQ6_K, DecodeQ6_K>},
};

}  // namespace

absl::Span<const Dequantizer> KQuantDequantizers() { return kRows; }

}  // namespace sluice
