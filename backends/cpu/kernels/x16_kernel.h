// The loops of x16.h over vectors. V says what a vector is:
//
//   kLanes                     how many of the 16 rows it holds; the rest follows in further passes
//   Floats, Words              kLanes floats; kLanes words of 32 bits
//   Load, Store, Broadcast     of floats
//   Mul, Sub, Fma, NegativeFma a * b, a - b, a * b + c, c - a * b
//   LoadWords, LowNibbles, NextNibbles
//                              the low four bits of each word; the words without these
//   Bytes                      kLanes signed bytes
//
// V is a type of the including file alone, so that no two files share an instantiation. These files
// are compiled without contraction of products and sums, which would make values differ in the last
// bit from those of the file's decoder.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/kernels/x16.h"

namespace sluice::cpu {

// Calls use(column, codes) for the columns of a group, from lane `lane` on.
template <typename V, X16Format kFormat, typename Use>
inline void ForEachColumn(const std::byte* codes, int lane, const Use& use) {
  for (int first = 0; first < kFormat.group; first += 8) {
    if constexpr (kFormat.code_bits == 4) {
      auto words = V::LoadWords(codes + first * (kX16Rows / 2) + 4 * lane);
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        use(first + i, V::LowNibbles(words));
        words = V::NextNibbles(words);
      }
    } else {
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) use(first + i, V::Bytes(codes + (first + i) * kX16Rows + lane));
    }
  }
}

// The factors of group g of a block: `first` is d or dmin, `parts` are the groups' small numbers.
template <typename V, X16Format kFormat>
inline typename V::Floats Factor(const std::byte* first, const std::byte* parts, int g, int lane) {
  const auto all = V::Load(reinterpret_cast<const float*>(first) + lane);
  if constexpr (kFormat.groups == 1) return all;
  return V::Mul(all, V::Bytes(parts + g * kX16Rows + lane));
}

template <typename V, X16Format kFormat>
inline typename V::Floats ScaleOf(const std::byte* block, int g, int lane) {
  constexpr int kScales = kFormat.ScalesOffset();
  return Factor<V, kFormat>(block, block + kScales, g, lane);
}

template <typename V, X16Format kFormat>
inline typename V::Floats MinOf(const std::byte* block, int g, int lane) {
  constexpr int kMins = kFormat.MinsOffset();
  return Factor<V, kFormat>(block + kX16Rows * sizeof(float), block + kMins, g, lane);
}

// X16Kernel::multiply for V::kLanes rows of the strip, the first of which is `lane`.
template <typename V, X16Format kFormat, int kRows>
void MultiplyLanes(const std::byte* strip, int lane, int64_t cols, const float* x, int64_t x_stride,
                   const float* sums, float* y) {
  using Floats = typename V::Floats;
  constexpr int kBlockBytes = kFormat.BlockBytes(), kCodes = kFormat.CodesOffset();
  constexpr int kGroupBytes = kFormat.GroupCodeBytes();
  // A multiply-add waits for the one before it: few rows take several sums each.
  constexpr int kChains = kRows == 1 ? 4 : 2;
  const Floats zero = V::Broadcast(0);
  Floats totals[kRows];
  for (auto& total : totals) total = zero;
  for (int64_t col = 0; col < cols; strip += kBlockBytes) {
    for (int g = 0; g < kFormat.groups; ++g, col += kFormat.group) {
      Floats dots[kRows][kChains];
      for (auto& row : dots) {
        for (auto& dot : row) dot = zero;
      }
      ForEachColumn<V, kFormat>(strip + kCodes + g * kGroupBytes, lane, [&](int c, Floats codes) {
        for (int i = 0; i < kRows; ++i) {
          Floats& dot = dots[i][c % kChains];
          dot = V::Fma(codes, V::Broadcast(x[i * x_stride + col + c]), dot);
        }
      });
      const Floats scale = ScaleOf<V, kFormat>(strip, g, lane);
      for (int i = 0; i < kRows; ++i) {
        for (const Floats& dot : dots[i]) totals[i] = V::Fma(scale, dot, totals[i]);
      }
      if constexpr (kFormat.has_mins) {
        const Floats min = MinOf<V, kFormat>(strip, g, lane);
        for (int i = 0; i < kRows; ++i) {
          totals[i] = V::NegativeFma(min, V::Broadcast(sums[i]), totals[i]);
        }
        sums += kRows;
      }
    }
  }
  for (int i = 0; i < kRows; ++i) V::Store(y + i * kX16Rows + lane, totals[i]);
}

template <typename V, X16Format kFormat, int kRows>
void MultiplyStrip(const std::byte* strip, int64_t cols, const float* x, int64_t x_stride,
                   const float* sums, float* y) {
  for (int lane = 0; lane < kX16Rows; lane += V::kLanes) {
    MultiplyLanes<V, kFormat, kRows>(strip, lane, cols, x, x_stride, sums, y);
  }
}

template <typename V, X16Format kFormat>
void DecodeLanes(const std::byte* strip, int lane, int64_t cols, float* out, int64_t stride) {
  using Floats = typename V::Floats;
  constexpr int kBlockBytes = kFormat.BlockBytes(), kCodes = kFormat.CodesOffset();
  constexpr int kGroupBytes = kFormat.GroupCodeBytes();
  for (int64_t col = 0; col < cols; strip += kBlockBytes) {
    for (int g = 0; g < kFormat.groups; ++g, col += kFormat.group) {
      const Floats scale = ScaleOf<V, kFormat>(strip, g, lane);
      Floats min = scale;
      if constexpr (kFormat.has_mins) min = MinOf<V, kFormat>(strip, g, lane);
      ForEachColumn<V, kFormat>(strip + kCodes + g * kGroupBytes, lane, [&](int c, Floats codes) {
        Floats value = V::Mul(scale, codes);
        if constexpr (kFormat.has_mins) value = V::Sub(value, min);
        V::Store(out + (col + c) * stride + lane, value);
      });
    }
  }
}

template <typename V, X16Format kFormat>
void DecodeStrip(const std::byte* strip, int64_t cols, float* out, int64_t stride) {
  for (int lane = 0; lane < kX16Rows; lane += V::kLanes) {
    DecodeLanes<V, kFormat>(strip, lane, cols, out, stride);
  }
}

template <typename V, X16Format kFormat>
constexpr X16Kernel X16KernelOf() {
  return {{MultiplyStrip<V, kFormat, 1>, MultiplyStrip<V, kFormat, 2>, MultiplyStrip<V, kFormat, 3>,
           MultiplyStrip<V, kFormat, 4>},
          DecodeStrip<V, kFormat>};
}

template <typename V>
constexpr X16Isa X16IsaOf(const char* name, const char* need, const char* other_need,
                          int max_rows) {
  static_assert(kX16FormatCount == 5 && kX16MaxPass == 4);
  return {name,
          {need, other_need},
          max_rows,
          {X16KernelOf<V, kX16Formats[0]>(), X16KernelOf<V, kX16Formats[1]>(),
           X16KernelOf<V, kX16Formats[2]>(), X16KernelOf<V, kX16Formats[3]>(),
           X16KernelOf<V, kX16Formats[4]>()}};
}

}  // namespace sluice::cpu
