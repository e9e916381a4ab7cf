// Products with expanded strips (x16.h): the decoding is done once, so that the loop over tiles has
// none, and vectors hold all 16 rows. V (x16_kernel.h) must also have
//
//   AddBytes(codes, n)     n added to every code
//   StoreCodes, LoadFloats
//   Add                    of floats
//
// Where a product is one instruction, what limits the loop are the others that the same units
// execute: multiplications of floats. Additions have units of their own on some processors (Zen 4),
// which is why a shift is added where x16_kernel.h multiplies by an offset.
#pragma once

#include "backends/cpu/kernels/x16_kernel.h"

namespace sluice::cpu {

template <typename V, X16Format kFormat, int kQuad>
inline void ExpandQuads(const std::byte* codes, std::byte* out) {
  if constexpr (kQuad < kQuads) {
    constexpr int kAdded = kFormat.has_mins ? 0 : kShift - kFormat.offset;
    V::StoreCodes(out + kQuad * 4 * kX16Rows,
                  V::AddBytes(QuadCodes<V, kFormat, kQuad>(codes), kAdded));
    ExpandQuads<V, kFormat, kQuad + 1>(codes, out);
  }
}

// X16ExpandFn.
template <typename V, X16Format kFormat>
void ExpandStrip(const std::byte* strip, int64_t cols, std::byte* out) {
  static_assert(V::kLanes == kX16Rows);
  constexpr int kGroups = kFormat.ChunkGroups(), kFloatBytes = 4 * kX16Rows;
  for (int64_t col = 0; col < cols; col += kFormat.BlockColumns(), strip += kFormat.BlockBytes()) {
    for (int chunk = 0; chunk < kFormat.chunks; ++chunk, out += kFormat.ExpandedChunkBytes()) {
      ExpandQuads<V, kFormat, 0>(strip + kFormat.CodesOffset() + chunk * kFormat.ChunkBytes(), out);
      for (int g = 0; g < kGroups; ++g) {
        const GroupFactors<V> factors = FactorsOf<V, kFormat>(strip, chunk * kGroups + g, 0);
        const auto put = [&](int offset, typename V::Floats values) {
          V::Store(reinterpret_cast<float*>(out + offset + g * kFloatBytes), values);
        };
        put(kFormat.ExpandedScalesOffset(), factors.scale);
        if constexpr (kFormat.has_mins) put(kFormat.ExpandedMinsOffset(), factors.min);
      }
    }
  }
}

// Adds the products of quads kQuad .. kEnd - 1 of an expanded chunk to the sums of kCount rows.
template <typename V, int kQuad, int kEnd, int kCount>
inline void AddExpandedQuads(const std::byte* codes, const std::byte* quads, int64_t quad_stride,
                             typename V::Ints (&sums)[kCount]) {
  if constexpr (kQuad < kEnd) {
    const auto weights = V::LoadCodes(codes + kQuad * 4 * kX16Rows);
    for (int i = 0; i < kCount; ++i) {
      sums[i] = V::template Dot<8>(sums[i], weights, V::LoadQuad(quads + 4 * i));
    }
    AddExpandedQuads<V, kQuad + 1, kEnd>(codes, quads + quad_stride, quad_stride, sums);
  }
}

// AddGroup of x16_kernel.h for an expanded chunk.
template <typename V, X16Format kFormat, int kGroup, int kCount>
inline void AddExpandedGroup(const std::byte* chunk, const std::byte* tile, int tile_rows,
                             typename V::Floats (&products)[kCount]) {
  constexpr int kGroupQuads = kQuads / kFormat.ChunkGroups(), kFirst = kGroup * kGroupQuads;
  const int64_t stride = 4 * tile_rows;
  typename V::Ints sums[kCount];
  for (auto& sum : sums) sum = V::Zero();
  AddExpandedQuads<V, kFirst, kFirst + kGroupQuads>(chunk, tile + kFirst * stride, stride, sums);
  const auto factors = [&](int offset) { return V::LoadFloats(chunk + offset + kGroup * 64); };
  const auto scale = factors(kFormat.ExpandedScalesOffset());
  const std::byte* shifts = ShiftsOf<kFormat, kGroup>(tile, tile_rows);
  for (int i = 0; i < kCount; ++i) {
    const auto shift = V::Broadcast(LoadFloat(shifts + 4 * i));
    auto sum = V::FromInts(sums[i]);
    if constexpr (!kFormat.has_mins) sum = V::Add(sum, shift);
    products[i] = kGroup == 0 ? V::Mul(sum, scale) : V::Fma(sum, scale, products[i]);
    if constexpr (kFormat.has_mins) {
      products[i] = V::Fma(factors(kFormat.ExpandedMinsOffset()), shift, products[i]);
    }
  }
}

template <typename V, X16Format kFormat, int kCount>
void MultiplyExpandedRows(const std::byte* strip, int64_t cols, const std::byte* tile,
                          int tile_rows, float* y, int64_t y_stride) {
  typename V::Floats totals[kCount], products[kCount];
  for (auto& total : totals) total = V::Broadcast(0);
  for (int64_t col = 0; col < cols; col += kChunk, strip += kFormat.ExpandedChunkBytes()) {
    AddExpandedGroup<V, kFormat, 0>(strip, tile, tile_rows, products);
    if constexpr (kFormat.ChunkGroups() == 2) {
      AddExpandedGroup<V, kFormat, 1>(strip, tile, tile_rows, products);
    }
    const std::byte* scales = tile + kChunk * tile_rows;
    for (int i = 0; i < kCount; ++i) {
      totals[i] = V::Fma(products[i], V::Broadcast(LoadFloat(scales + 4 * i)), totals[i]);
    }
    tile += kQ8ChunkBytes * tile_rows;
  }
  for (int i = 0; i < kCount; ++i) V::Store(y + i * y_stride, totals[i]);
}

// Calls the instance for `count` rows, at most kCount.
template <typename V, X16Format kFormat, int kCount>
void MultiplyExpandedSome(const std::byte* strip, int64_t cols, const std::byte* tile,
                          int tile_rows, float* y, int64_t y_stride) {
  if (tile_rows == kCount) {
    MultiplyExpandedRows<V, kFormat, kCount>(strip, cols, tile, tile_rows, y, y_stride);
  } else if constexpr (kCount > 1) {
    MultiplyExpandedSome<V, kFormat, kCount - 1>(strip, cols, tile, tile_rows, y, y_stride);
  }
}

// X16MultiplyFn of formats whose expanded strips are alike: only their shape counts.
template <typename V, X16Format kFormat>
constexpr X16MultiplyFn ExpandedMultiply() {
  constexpr X16Format kShape = {
      .dtype = DType::kF32, .code_bits = 8, .group = kFormat.group, .has_mins = kFormat.has_mins};
  return MultiplyExpandedSome<V, kShape, kTileRows>;
}

template <typename V, size_t... kIndex>
constexpr X16Isa WithExpansion(X16Isa isa, std::index_sequence<kIndex...>) {
  isa.can_expand = true;
  ((isa.formats[kIndex].expand = ExpandStrip<V, kX16Formats[kIndex]>), ...);
  ((isa.formats[kIndex].multiply_expanded = ExpandedMultiply<V, kX16Formats[kIndex]>()), ...);
  return isa;
}

// The instruction set with expanded strips.
template <typename V>
constexpr X16Isa WithExpansion(const X16Isa& isa) {
  return WithExpansion<V>(isa, std::make_index_sequence<kX16FormatCount>());
}

}  // namespace sluice::cpu
