// IQ4_NL, IQ4_XS, MXFP4, NVFP4.
#include "graph/formats/blocks.h"
#include "graph/formats/dequantize_families.h"

namespace sluice {
namespace {

// One group of elements, the first half in the low nibbles of qs. The products are computed once
// per value of the table, not once per element.
template <int kElements>
void DecodeNibbles(float scale, const int8_t (&values)[16], const uint8_t* qs,
                   float* __restrict out) {
  float products[16];
  for (int v = 0; v < 16; ++v) products[v] = scale * static_cast<float>(values[v]);
  for (int i = 0; i < kElements / 2; ++i) {
    out[i] = products[qs[i] & 15];
    out[i + kElements / 2] = products[qs[i] >> 4];
  }
}

void DecodeIQ4_NL(const BlockIQ4_NL& block, float* __restrict out) {
  DecodeNibbles<32>(LoadF16(block.d), kIq4Values, block.qs, out);
}

void DecodeIQ4_XS(const BlockIQ4_XS& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  for (int group = 0; group < 8; ++group) {
    const float scale = d * static_cast<float>(UnpackScaleIQ4XS(block, group));
    DecodeNibbles<32>(scale, kIq4Values, block.qs + 16 * group, out + 32 * group);
  }
}

void DecodeMXFP4(const BlockMXFP4& block, float* __restrict out) {
  DecodeNibbles<32>(HalfOfE8M0(block.e), kFp4Values, block.qs, out);
}

void DecodeNVFP4(const BlockNVFP4& block, float* __restrict out) {
  for (int group = 0; group < 4; ++group) {
    const float scale = HalfOfUE4M3(block.d[group]);
    DecodeNibbles<16>(scale, kFp4Values, block.qs + 8 * group, out + 16 * group);
  }
}

constexpr Dequantizer kRows[] = {
    {DType::kIQ4_NL, DecodeBlocks<BlockIQ4_NL, DecodeIQ4_NL>},
    {DType::kIQ4_XS, DecodeBlocks<BlockIQ4_XS, DecodeIQ4_XS>},
    {DType::kMXFP4, DecodeBlocks<BlockMXFP4, DecodeMXFP4>},
    {DType::kNVFP4, DecodeBlocks<BlockNVFP4, DecodeNVFP4>},
};

}  // namespace

absl::Span<const Dequantizer> TableDequantizers() { return kRows; }

}  // namespace sluice
