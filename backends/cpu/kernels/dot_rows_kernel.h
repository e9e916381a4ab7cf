// Products of weight rows of plain floats with few rows of activations: dot products, because a
// weight is read once and a GEMM would first copy it. V is as in vector_math_kernel.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/kernels/vector_math_kernel.h"

namespace sluice::cpu {

// kRows weight rows with kCount rows of x. The rest of a row that fills no vector is copied to one,
// with zeros behind it.
template <typename V, DType kDType, int kRows, int kCount>
inline void DotBlock(const std::byte* weights, int64_t row_bytes, int64_t cols, const float* x,
                     float* y, int64_t y_stride) {
  using Floats = typename V::Floats;
  Floats sums[kRows][kCount];
  for (auto& row : sums) {
    for (Floats& sum : row) sum = V::Broadcast(0);
  }
  const auto add = [&](const auto& weight_of, const auto& x_of) {
    Floats vectors[kCount];
    for (int i = 0; i < kCount; ++i) vectors[i] = x_of(i);
    for (int j = 0; j < kRows; ++j) {
      const Floats weight = weight_of(j);
      for (int i = 0; i < kCount; ++i) sums[j][i] = V::Fma(weight, vectors[i], sums[j][i]);
    }
  };
  int64_t c = 0;
  for (; c + V::kLanes <= cols; c += V::kLanes) {
    add(
        [&](int j) {
          return LoadElements<V, kDType>(weights + j * row_bytes + c * kBytesOf<kDType>);
        },
        [&](int i) { return V::Load(x + i * cols + c); });
  }
  if (c < cols) {
    const auto weight_of = [&](int j) {
      alignas(64) std::byte rest[V::kLanes * kBytesOf<kDType>] = {};
      __builtin_memcpy(rest, weights + j * row_bytes + c * kBytesOf<kDType>,
                       static_cast<size_t>((cols - c) * kBytesOf<kDType>));
      return LoadElements<V, kDType>(rest);
    };
    add(weight_of, [&](int i) { return V::LoadPart(x + i * cols + c, cols - c, V::Broadcast(0)); });
  }
  for (int i = 0; i < kCount; ++i) {
    for (int j = 0; j < kRows; ++j) y[i * y_stride + j] = V::Sum(sums[j][i]);
  }
}

// All weight rows with kCount rows of x, or with fewer, if there are fewer.
template <typename V, DType kDType, int kCount>
void DotRowsWith(const std::byte* weights, int64_t row_bytes, int64_t rows, int64_t cols,
                 const float* x, int count, float* y, int64_t y_stride) {
  if constexpr (kCount > 1) {
    if (count < kCount) {
      return DotRowsWith<V, kDType, kCount - 1>(weights, row_bytes, rows, cols, x, count, y,
                                                y_stride);
    }
  }
  constexpr int kRows = 4;
  int64_t j = 0;
  for (; j + kRows <= rows; j += kRows) {
    DotBlock<V, kDType, kRows, kCount>(weights + j * row_bytes, row_bytes, cols, x, y + j,
                                       y_stride);
  }
  for (; j < rows; ++j) {
    DotBlock<V, kDType, 1, kCount>(weights + j * row_bytes, row_bytes, cols, x, y + j, y_stride);
  }
}

// DotRowsFn. Rows of x that the registers cannot take at once go in turn, over weight rows that
// are in cache by then.
template <typename V, DType kDType>
void DotRows(const std::byte* weights, int64_t row_bytes, int64_t rows, int64_t cols,
             const float* x, int64_t x_rows, float* y, int64_t y_stride) {
  constexpr int64_t kWeightRows = 16, kCount = V::kLanes == 16 ? 4 : 2;
  for (int64_t j = 0; j < rows; j += kWeightRows) {
    const int64_t part = rows - j < kWeightRows ? rows - j : kWeightRows;
    for (int64_t i = 0; i < x_rows; i += kCount) {
      const int count = static_cast<int>(x_rows - i < kCount ? x_rows - i : kCount);
      DotRowsWith<V, kDType, kCount>(weights + j * row_bytes, row_bytes, part, cols, x + i * cols,
                                     count, y + i * y_stride + j, y_stride);
    }
  }
}

}  // namespace sluice::cpu
