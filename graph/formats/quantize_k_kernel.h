// Encoders of the K formats: 256 values in groups, whose scales (and mins) are quantised in turn.
//
// Three steps: the best scale of each group by itself (quantize_search.h), the block's own scale
// from the largest of them, and the quants once more, now that the rounded scales are known.
//
// Each file that includes this compiles it for another instruction set; therefore all of it lies in
// unnamed namespaces.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "graph/formats/blocks.h"
#include "graph/formats/quantize_families.h"
#include "graph/formats/quantize_search.h"

namespace sluice {
namespace {

using search::Clamp;
using search::Groups;
using search::kLanes;
using search::Lanes;
using search::Nearest;

constexpr size_t kBlock = 256;
using Quants = std::array<uint8_t, kBlock>;

template <size_t kSize>
using GroupFloats = std::array<float, kBlock / kSize>;

void StoreLanes(Lanes lanes, float* out) { std::memcpy(out, &lanes, sizeof lanes); }

// ---- formats with a scale and a min

// Weights of Q4_K and Q5_K: large values count more, small ones still count.
template <size_t kSize>
void WeighByDeviation(const Groups<kSize>& x, Groups<kSize>& weights) {
  Lanes squares = {};
  for (const Lanes value : x) squares += value * value;
  Lanes deviation;
  for (size_t lane = 0; lane < kLanes; ++lane) {
    deviation[lane] = std::sqrt(squares[lane] / static_cast<float>(kSize));
  }
  for (size_t i = 0; i < kSize; ++i) weights[i] = deviation + search::Magnitude(x[i]);
}

// Weights of Q2_K.
template <size_t kSize>
void WeighByMagnitude(const Groups<kSize>& x, Groups<kSize>& weights) {
  for (size_t i = 0; i < kSize; ++i) weights[i] = search::Magnitude(x[i]);
}

template <size_t kSize>
struct AffineBlock {
  GroupFloats<kSize> scales;
  GroupFloats<kSize> mins;  // what is subtracted: not negative
};

template <size_t kSize, void (*kWeigh)(const Groups<kSize>&, Groups<kSize>&)>
AffineBlock<kSize> FitBlock(const search::AffineSearch& how, const float* values) {
  AffineBlock<kSize> block;
  for (size_t group = 0; group < block.scales.size(); group += kLanes) {
    Groups<kSize> x, weights;
    search::LoadGroups(values + group * kSize, x);
    kWeigh(x, weights);
    const search::AffineFit fit = search::FitAffine(how, x, weights);
    StoreLanes(fit.scale, &block.scales[group]);
    StoreLanes(-fit.min, &block.mins[group]);
  }
  return block;
}

// Quantises values that are not negative to 0 .. top. Returns the step, 0 where all are zero.
template <size_t kCount>
float EncodePositive(const std::array<float, kCount>& values, int top,
                     std::array<int, kCount>& quants) {
  const float highest = static_cast<float>(top);
  float largest = 0;
  for (const float value : values) largest = std::max(largest, value);
  const float inverse = largest > 0 ? highest / largest : 0.0f;
  for (size_t i = 0; i < kCount; ++i) {
    quants[i] = static_cast<int>(Clamp(Nearest(inverse * values[i]), 0.0f, highest));
  }
  return largest / highest;
}

// Rounds (value + offset) / step to low .. high, and stores it counted from `low`. Where the step
// is zero, quants mean nothing.
void RoundGroup(const float* values, size_t size, float step, float offset, int low, int high,
                uint8_t* quants) {
  const float bottom = static_cast<float>(low), top = static_cast<float>(high);
  for (size_t i = 0; i < size; ++i) {
    const float quant = Clamp(Nearest((values[i] + offset) / step), bottom, top);
    quants[i] = step == 0 ? uint8_t{0} : static_cast<uint8_t>(static_cast<int>(quant) - low);
  }
}

// Everything of Q4_K and Q5_K but the place of the quants.
template <typename Block>
Quants EncodeScaleMin(const search::AffineSearch& how, const float* values, Block& block) {
  constexpr size_t kSize = 32;
  const auto fit = FitBlock<kSize, WeighByDeviation<kSize>>(how, values);
  std::array<int, 8> scales, mins;
  StoreF16(EncodePositive(fit.scales, 63, scales), block.d);
  StoreF16(EncodePositive(fit.mins, 63, mins), block.dmin);
  for (int g = 0; g < 4; ++g) {
    block.scales[g] = static_cast<uint8_t>(scales[g] | scales[g + 4] >> 4 << 6);
    block.scales[g + 4] = static_cast<uint8_t>(mins[g] | mins[g + 4] >> 4 << 6);
    block.scales[g + 8] = static_cast<uint8_t>((scales[g + 4] & 15) | (mins[g + 4] & 15) << 4);
  }
  Quants quants;
  const float d = LoadF16(block.d), dmin = LoadF16(block.dmin);
  for (int g = 0; g < 8; ++g) {
    RoundGroup(values + g * kSize, kSize, d * static_cast<float>(scales[g]),
               dmin * static_cast<float>(mins[g]), 0, how.top, &quants[g * kSize]);
  }
  return quants;
}

// Four bits of each of 256 quants, as Q4_K and Q5_K have them.
void StoreNibbles(const Quants& quants, uint8_t* qs) {
  for (int c = 0; c < 4; ++c) {
    for (int l = 0; l < 32; ++l) {
      const int low = quants[64 * c + l] & 15, high = quants[64 * c + 32 + l] & 15;
      qs[32 * c + l] = static_cast<uint8_t>(low | high << 4);
    }
  }
}

void EncodeQ4_K(const float* values, BlockQ4_K& block) {
  constexpr search::AffineSearch kSearch = {.top = 15, .first = -1, .last = 20, .absolute = false};
  StoreNibbles(EncodeScaleMin(kSearch, values, block), block.qs);
}

void EncodeQ5_K(const float* values, BlockQ5_K& block) {
  constexpr search::AffineSearch kSearch = {
      .top = 31, .first = -0.5f, .last = 15, .absolute = false};
  const Quants quants = EncodeScaleMin(kSearch, values, block);
  StoreNibbles(quants, block.qs);
  for (int l = 0; l < 32; ++l) {
    int bits = 0;
    for (int g = 0; g < 8; ++g) bits |= quants[32 * g + l] >> 4 << g;
    block.qh[l] = static_cast<uint8_t>(bits);
  }
}

// The low two bits of 256 quants, as Q2_K and Q3_K have them.
void StorePairs(const Quants& quants, uint8_t* qs) {
  for (int h = 0; h < 2; ++h) {
    for (int l = 0; l < 32; ++l) {
      int bits = 0;
      for (int j = 0; j < 4; ++j) bits |= (quants[128 * h + 32 * j + l] & 3) << (2 * j);
      qs[32 * h + l] = static_cast<uint8_t>(bits);
    }
  }
}

void EncodeQ2_K(const float* values, BlockQ2_K& block) {
  constexpr size_t kSize = 16;
  constexpr search::AffineSearch kSearch = {.top = 3, .first = -0.5f, .last = 15, .absolute = true};
  const auto fit = FitBlock<kSize, WeighByMagnitude<kSize>>(kSearch, values);
  std::array<int, 16> scales, mins;
  StoreF16(EncodePositive(fit.scales, 15, scales), block.d);
  StoreF16(EncodePositive(fit.mins, 15, mins), block.dmin);
  Quants quants;
  const float d = LoadF16(block.d), dmin = LoadF16(block.dmin);
  for (int g = 0; g < 16; ++g) {
    block.scales[g] = static_cast<uint8_t>(scales[g] | mins[g] << 4);
    RoundGroup(values + g * kSize, kSize, d * static_cast<float>(scales[g]),
               dmin * static_cast<float>(mins[g]), 0, kSearch.top, &quants[g * kSize]);
  }
  StorePairs(quants, block.qs);
}

// ---- formats with a scale of either sign

template <Lanes (*kFit)(const Groups<16>&)>
GroupFloats<16> FitScales(const float* values) {
  GroupFloats<16> scales;
  for (size_t group = 0; group < scales.size(); group += kLanes) {
    Groups<16> x;
    search::LoadGroups(values + group * 16, x);
    StoreLanes(kFit(x), &scales[group]);
  }
  return scales;
}

// Quantises scales to -half .. half - 1; the one of largest magnitude, with its sign, is -half.
// Returns the step, 0 where all are (nearly) zero.
float EncodeSigned(const GroupFloats<16>& scales, int half, std::array<int, 16>& quants) {
  float extreme = 0;
  for (const float scale : scales) {
    if (std::fabs(scale) > std::fabs(extreme)) extreme = scale;
  }
  quants = {};
  if (std::fabs(extreme) < search::kZeroGroup) return 0;
  const float inverse = static_cast<float>(-half) / extreme;
  for (int g = 0; g < 16; ++g) {
    quants[g] = static_cast<int>(Clamp(Nearest(inverse * scales[g]), static_cast<float>(-half),
                                       static_cast<float>(half - 1)));
  }
  return 1 / inverse;
}

void EncodeQ6_K(const float* values, BlockQ6_K& block) {
  std::array<int, 16> scales;
  StoreF16(EncodeSigned(FitScales<search::FitSymmetric<32, 16>>(values), 128, scales), block.d);
  const float d = LoadF16(block.d);
  Quants quants;
  for (int g = 0; g < 16; ++g) {
    block.scales[g] = static_cast<int8_t>(scales[g]);
    RoundGroup(values + g * 16, 16, d * static_cast<float>(scales[g]), 0, -32, 31, &quants[g * 16]);
  }
  for (int h = 0; h < 2; ++h) {
    for (int l = 0; l < 32; ++l) {
      const uint8_t* const q = &quants[128 * h + l];
      block.ql[64 * h + l] = static_cast<uint8_t>((q[0] & 15) | (q[64] & 15) << 4);
      block.ql[64 * h + 32 + l] = static_cast<uint8_t>((q[32] & 15) | (q[96] & 15) << 4);
      block.qh[32 * h + l] =
          static_cast<uint8_t>(q[0] >> 4 | q[32] >> 4 << 2 | q[64] >> 4 << 4 | q[96] >> 4 << 6);
    }
  }
}

void EncodeQ3_K(const float* values, BlockQ3_K& block) {
  std::array<int, 16> scales;
  StoreF16(EncodeSigned(FitScales<search::FitSymmetricStepwise<4, 16>>(values), 32, scales),
           block.d);
  const float d = LoadF16(block.d);
  Quants quants;
  std::fill_n(block.scales, sizeof block.scales, uint8_t{0});
  for (int g = 0; g < 16; ++g) {
    const int stored = d == 0 ? 0 : scales[g] + 32;
    block.scales[g % 8] = static_cast<uint8_t>(block.scales[g % 8] | (stored & 15) << (g / 8 * 4));
    block.scales[8 + g % 4] =
        static_cast<uint8_t>(block.scales[8 + g % 4] | stored >> 4 << (g / 4 * 2));
    RoundGroup(values + g * 16, 16, d * static_cast<float>(scales[g]), 0, -4, 3, &quants[g * 16]);
  }
  StorePairs(quants, block.qs);
  for (int l = 0; l < 32; ++l) {
    int bits = 0;
    for (int g = 0; g < 8; ++g) bits |= quants[32 * g + l] >> 2 << g;
    block.hmask[l] = static_cast<uint8_t>(bits);
  }
}

template <typename Block, void (*kEncodeBlock)(const float*, Block&)>
void EncodeAll(const float* values, int64_t elements, std::byte* out) {
  auto* blocks = reinterpret_cast<Block*>(out);
  for (int64_t i = 0; i < elements / static_cast<int64_t>(kBlock); ++i)
    kEncodeBlock(values + i * kBlock, blocks[i]);
}

constexpr Quantizer kKQuantizers[] = {
    {DType::kQ2_K, EncodeAll<BlockQ2_K, EncodeQ2_K>},
    {DType::kQ3_K, EncodeAll<BlockQ3_K, EncodeQ3_K>},
    {DType::kQ4_K, EncodeAll<BlockQ4_K, EncodeQ4_K>},
    {DType::kQ5_K, EncodeAll<BlockQ5_K, EncodeQ5_K>},
    {DType::kQ6_K, EncodeAll<BlockQ6_K, EncodeQ6_K>},
};

}  // namespace
}  // namespace sluice
