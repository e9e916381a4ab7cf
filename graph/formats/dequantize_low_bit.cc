// Q1_0, Q2_0, TQ1_0, TQ2_0.
#include <cstdint>
#include <cstring>

#include "graph/formats/blocks.h"
#include "graph/formats/dequantize_families.h"

namespace sluice {
namespace {

void DecodeQ1_0(const BlockQ1_0& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  for (int byte = 0; byte < 16; ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      const int q = (block.qs[byte] >> bit) & 1;
      out[8 * byte + bit] = d * static_cast<float>(2 * q - 1);
    }
  }
}

void DecodeQ2_0(const BlockQ2_0& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  for (int byte = 0; byte < 16; ++byte) {
    for (int n = 0; n < 4; ++n) {
      const int q = (block.qs[byte] >> (2 * n)) & 3;
      out[4 * byte + n] = d * static_cast<float>(q - 1);
    }
  }
}

// kBytes * kDigits elements: the first digits of all bytes, then the second ones, and so on. Three
// times a fraction is its first digit, in the high byte, and the fraction of the digits that
// follow.
template <int kBytes, int kDigits>
void DecodeTrits(float d, const uint8_t* bytes, float* __restrict out) {
  uint8_t rest[kBytes];
  std::memcpy(rest, bytes, kBytes);
  for (int digit = 0; digit < kDigits; ++digit) {
    for (int i = 0; i < kBytes; ++i) {
      const auto product = static_cast<uint16_t>(3 * rest[i]);
      rest[i] = static_cast<uint8_t>(product);
      out[kBytes * digit + i] = d * static_cast<float>((product >> 8) - 1);
    }
  }
}

void DecodeTQ1_0(const BlockTQ1_0& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  DecodeTrits<32, 5>(d, block.qs, out);
  DecodeTrits<16, 5>(d, block.qs + 32, out + 160);
  DecodeTrits<4, 4>(d, block.qh, out + 240);
}

void DecodeTQ2_0(const BlockTQ2_0& block, float* __restrict out) {
  const float d = LoadF16(block.d);
  for (int group = 0; group < 8; ++group) {
    const uint8_t* qs = block.qs + 32 * (group / 4);
    const int shift = 2 * (group % 4);
    for (int l = 0; l < 32; ++l) {
      out[32 * group + l] = d * static_cast<float>(((qs[l] >> shift) & 3) - 1);
    }
  }
}

constexpr Dequantizer kRows[] = {
    {DType::kQ1_0, DecodeBlocks<BlockQ1_0, DecodeQ1_0>},
    {DType::kQ2_0, DecodeBlocks<BlockQ2_0, DecodeQ2_0>},
    {DType::kTQ1_0, DecodeBlocks<BlockTQ1_0, DecodeTQ1_0>},
    {DType::kTQ2_0, DecodeBlocks<BlockTQ2_0, DecodeTQ2_0>},
};

}  // namespace

absl::Span<const Dequantizer> LowBitDequantizers() { return kRows; }

}  // namespace sluice
