// IQ4_NL, IQ4_XS.
#include "graph/formats/blocks.h"
#include "graph/formats/dequantize_families.h"

namespace sluice {
namespace {

// 32 elements. The products are computed once per value of the grid, not once per element.
void DecodeIq4Group(float scale, const uint8_t* qs, float* __restrict out) {
  float grid[16];
  for (int v = 0; v < 16; ++v) grid[v] = scale * static_cast<float>(kIq4Values[v]);
  for (int i = 0; i < 16; ++i) {
    out[i] = grid[qs[i] & 15];
    out[i + 16] = grid[qs[i] >> 4];
  }
}

void DecodeIQ4_NL(const BlockIQ4_NL& block, float* __restrict out) {
  DecodeIq4Group(LoadF16(block.d), block.qs, out);
}

void DecodeIQ4_XS(const BlockIQ4_XS& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  for (int group = 0; group < 8; ++group) {
    const float scale = d * static_cast<float>(UnpackScaleIQ4XS(block, group));
    DecodeIq4Group(scale, block.qs + 16 * group, out + 32 * group);
  }
}

constexpr Dequantizer kRows[] = {
    {DType::kIQ4_NL, DecodeBlocks<BlockIQ4_NL, DecodeIQ4_NL>},
    {DType::kIQ4_XS, DecodeBlocks<BlockIQ4_XS, DecodeIQ4_XS>},
};

}  // namespace

absl::Span<const Dequantizer> IQuantDequantizers() { return kRows; }

}  // namespace sluice
