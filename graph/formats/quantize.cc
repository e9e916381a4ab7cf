#include "graph/formats/quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "graph/formats/blocks.h"
#include "graph/formats/quantize_families.h"

namespace sluice {
namespace {

template <uint16_t (*kConvert)(float)>
void EncodeHalves(const float* values, int64_t elements, std::byte* out) {
  for (int64_t i = 0; i < elements; ++i) {
    const uint16_t bits = kConvert(values[i]);
    std::memcpy(out + i * 2, &bits, sizeof(bits));
  }
}

void EncodeF32(const float* values, int64_t elements, std::byte* out) {
  std::memcpy(out, values, static_cast<size_t>(elements) * sizeof(float));
}

// Where all values are zero, or too small for a step of their own, every quant is that of zero.
float InverseOrZero(float step) {
  const float inverse = 1.0f / step;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

// The value of largest magnitude, with its sign.
float Extreme(const float* values) {
  return *std::max_element(values, values + 32,
                           [](float a, float b) { return std::fabs(a) < std::fabs(b); });
}

// Stores 32 quants of four or five bits; `qh` is null for four.
void StoreQuants(const int* quants, uint8_t* qs, uint8_t* qh) {
  for (int i = 0; i < 16; ++i) {
    qs[i] = static_cast<uint8_t>((quants[i] & 15) | (quants[i + 16] & 15) << 4);
  }
  if (qh == nullptr) return;
  std::fill_n(qh, 4, uint8_t{0});
  for (int i = 0; i < 32; ++i) {
    qh[i / 8] = static_cast<uint8_t>(qh[i / 8] | (quants[i] >> 4) << (i % 8));
  }
}

// Here and in EncodeAffine the product is rounded before the sum, as ggml does: this file needs
// -ffp-contract=off.
//
// Q4_0 (zero = 8) and Q5_0 (zero = 16): quants 0 .. 2 * zero - 1, of which `zero` means 0.
void EncodeSymmetric(const float* values, int zero, HalfField& d, uint8_t* qs, uint8_t* qh) {
  const float step = Extreme(values) / static_cast<float>(-zero);
  const float inverse = InverseOrZero(step);
  int quants[32];
  for (int i = 0; i < 32; ++i) {
    const float shifted = values[i] * inverse + (static_cast<float>(zero) + 0.5f);
    quants[i] = std::min(2 * zero - 1, static_cast<int>(shifted));
  }
  StoreF16(step, d);
  StoreQuants(quants, qs, qh);
}

// Q4_1 (top = 15) and Q5_1 (top = 31): quants 0 .. top.
void EncodeAffine(const float* values, int top, HalfField& d, HalfField& m, uint8_t* qs,
                  uint8_t* qh) {
  const auto [min, max] = std::minmax_element(values, values + 32);
  const float step = (*max - *min) / static_cast<float>(top);
  const float inverse = InverseOrZero(step);
  int quants[32];
  for (int i = 0; i < 32; ++i) {
    quants[i] = std::min(top, static_cast<int>((values[i] - *min) * inverse + 0.5f));
  }
  StoreF16(step, d);
  StoreF16(*min, m);
  StoreQuants(quants, qs, qh);
}

void EncodeQ4_0(const float* values, BlockQ4_0& block) {
  EncodeSymmetric(values, 8, block.d, block.qs, nullptr);
}
void EncodeQ5_0(const float* values, BlockQ5_0& block) {
  EncodeSymmetric(values, 16, block.d, block.qs, block.qh);
}
void EncodeQ4_1(const float* values, BlockQ4_1& block) {
  EncodeAffine(values, 15, block.d, block.m, block.qs, nullptr);
}
void EncodeQ5_1(const float* values, BlockQ5_1& block) {
  EncodeAffine(values, 31, block.d, block.m, block.qs, block.qh);
}

// The bits of floats without their sign are ordered like the numbers, and a maximum of integers
// vectorises, unlike one of floats.
float LargestMagnitude(const float* values) {
  uint32_t largest = 0;
  for (int i = 0; i < 32; ++i) {
    largest = std::max(largest, std::bit_cast<uint32_t>(values[i]) & 0x7fffffffu);
  }
  return std::bit_cast<float>(largest);
}

// std::round, without a call of it.
int RoundAwayFromZero(float value) {
  const int whole = static_cast<int>(value);
  const float rest = value - static_cast<float>(whole);
  return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

void EncodeQ8_0(const float* values, BlockQ8_0& block) {
  const float step = LargestMagnitude(values) / 127.0f;
  const float inverse = InverseOrZero(step);
  StoreF16(step, block.d);
  for (int i = 0; i < 32; ++i) {
    block.qs[i] = static_cast<int8_t>(RoundAwayFromZero(values[i] * inverse));
  }
}

template <typename Block, void (*kEncodeBlock)(const float*, Block&)>
void EncodeBlocks(const float* values, int64_t elements, std::byte* out) {
  auto* blocks = reinterpret_cast<Block*>(out);
  const int64_t count = elements / Block::kElements;
  for (int64_t i = 0; i < count; ++i) kEncodeBlock(values + i * Block::kElements, blocks[i]);
}

constexpr Quantizer kQuantizers[] = {
    {DType::kF32, EncodeF32},
    {DType::kF16, EncodeHalves<F16FromF32>},
    {DType::kBF16, EncodeHalves<Bf16FromF32>},
    {DType::kQ4_0, EncodeBlocks<BlockQ4_0, EncodeQ4_0>},
    {DType::kQ4_1, EncodeBlocks<BlockQ4_1, EncodeQ4_1>},
    {DType::kQ5_0, EncodeBlocks<BlockQ5_0, EncodeQ5_0>},
    {DType::kQ5_1, EncodeBlocks<BlockQ5_1, EncodeQ5_1>},
    {DType::kQ8_0, EncodeBlocks<BlockQ8_0, EncodeQ8_0>},
};

}  // namespace

QuantizeFn QuantizerFor(DType dtype) {
  const absl::Span<const Quantizer> families[] = {kQuantizers, Avx2KQuantizers(),
                                                  PortableKQuantizers()};
  for (const absl::Span<const Quantizer> family : families) {
    for (const Quantizer& row : family) {
      if (row.dtype == dtype) return row.encode;
    }
  }
  return nullptr;
}

}  // namespace sluice
