// The loops of x16.h over vectors. V says what a vector is:
//
//   kLanes                    how many of the 16 rows it holds; the rest follows in further passes
//   kRows                     the rows of a tile that its registers can take at a time
//   Floats, Ints              kLanes floats; kLanes int32_t
//   Codes                     4 kLanes bytes: four columns of each row
//   Quad                      the same four columns of one activation row, for every lane
//   Store, Broadcast, Mul, Fma
//                             of floats: a * b, a * b + c
//   FromHalves, FromBytes     kLanes float16 numbers or int8_t, as floats
//   FromInts, Zero            of integers
//   IntsFromBytes             kLanes uint8_t
//   AndInts, AddInts, ShiftRight, ShiftLeft
//   LoadCodes, LoadQuad
//   Left<n>, Right<n>         codes, shifted in lanes of 16 bits or more
//   And(a, bits), Or          bitwise; `bits` for every byte
//   Iq4(codes)                kIq4Values[code] + 127
//   Dot<bits>(sums, codes, quad)
//                             adds to each lane four products of a code below 2^bits and an int8_t
//   QuantizeChunks(x, stride, rows, out)
//                             makes the next chunk of a tile (q8_tiles.h) of 32 numbers of `rows`
//                             rows that are `stride` apart
//
// V is a type of the including file alone, so that no two files share an instantiation.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

#include "backends/cpu/kernels/q8_tiles.h"
#include "backends/cpu/kernels/x16.h"

namespace sluice::cpu {

// The bits of `plane` from bit `from` on, moved to bit `to` of each byte.
template <typename V, int kFrom, int kTo>
inline typename V::Codes Move(typename V::Codes plane, int bits) {
  const auto mask = static_cast<uint8_t>(bits << kTo);
  if constexpr (kFrom > kTo) return V::And(V::template Right<kFrom - kTo>(plane), mask);
  if constexpr (kFrom < kTo) return V::And(V::template Left<kTo - kFrom>(plane), mask);
  return V::And(plane, mask);
}

// The codes of quad q of a chunk. `codes` points at the lane's bytes of the first plane.
template <typename V, X16Format kFormat, int kQuad>
inline typename V::Codes QuadCodes(const std::byte* codes) {
  constexpr int kPlane = 4 * kX16Rows;
  if constexpr (kFormat.code_bits == 8) {
    return V::LoadCodes(codes + kQuad * kPlane);
  } else if constexpr (kFormat.code_bits == 2) {
    return Move<V, kQuad % 4 * 2, 0>(V::LoadCodes(codes + kQuad / 4 * kPlane), 3);
  } else {
    const auto low = Move<V, kQuad % 2 * 4, 0>(V::LoadCodes(codes + kQuad / 2 * kPlane), 15);
    if constexpr (kFormat.is_iq4) return V::Iq4(low);
    if constexpr (kFormat.code_bits == 4) return low;
    const std::byte* top = codes + 4 * kPlane;
    if constexpr (kFormat.code_bits == 5) {
      return V::Or(low, Move<V, kQuad, 4>(V::LoadCodes(top), 1));
    } else {
      return V::Or(low, Move<V, kQuad % 4 * 2, 4>(V::LoadCodes(top + kQuad / 4 * kPlane), 3));
    }
  }
}

// What group g has: the value of a code is scale * code - 128 * min.
template <typename V>
struct GroupFactors {
  typename V::Floats scale, min;
};

// The small numbers of a group of a format that has scales and minimums.
template <typename V, X16Format kFormat>
inline GroupFactors<V> SmallFactorsOf(const std::byte* block, int g, int lane) {
  const auto low = V::IntsFromBytes(block + kFormat.ScalesOffset() + g * kX16Rows + lane);
  auto scale = V::AndInts(low, 15), min = V::ShiftRight(low, 4);
  if constexpr (kFormat.scale_bits == 6) {
    const auto both = V::IntsFromBytes(block + kFormat.HighOffset() + g / 2 * kX16Rows + lane);
    const auto high = V::ShiftRight(both, g % 2 * 4);
    scale = V::AddInts(scale, V::AndInts(V::ShiftLeft(high, 4), 0x30));
    min = V::AddInts(min, V::AndInts(V::ShiftLeft(high, 2), 0x30));
  }
  return {V::FromInts(scale), V::FromInts(min)};
}

template <typename V, X16Format kFormat>
inline GroupFactors<V> FactorsOf(const std::byte* block, int g, int lane) {
  const auto d = V::FromHalves(block + 2 * lane);
  if constexpr (kFormat.has_mins) {
    const auto dmin =
        V::Mul(V::FromHalves(block + kFormat.MinOffset() + 2 * lane), V::Broadcast(1.0F / kShift));
    if constexpr (!kFormat.has_scales) return {d, dmin};
    const auto small = SmallFactorsOf<V, kFormat>(block, g, lane);
    return {V::Mul(d, small.scale), V::Mul(dmin, small.min)};
  } else {
    auto scale = d;
    if constexpr (kFormat.has_scales) {
      scale = V::Mul(d, V::FromBytes(block + kFormat.ScalesOffset() + g * kX16Rows + lane));
    }
    return {scale, V::Mul(scale, V::Broadcast(static_cast<float>(kFormat.offset) / kShift))};
  }
}

static inline float LoadFloat(const std::byte* p) {
  float value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

// Adds the products of quads kQuad .. kEnd - 1 of a chunk to the sums of kCount rows.
template <typename V, X16Format kFormat, int kQuad, int kEnd, int kCount>
inline void AddQuads(const std::byte* codes, const std::byte* quads, int64_t quad_stride,
                     typename V::Ints (&sums)[kCount]) {
  if constexpr (kQuad < kEnd) {
    constexpr int kBits = kFormat.is_iq4 ? 8 : kFormat.code_bits;
    const auto weights = QuadCodes<V, kFormat, kQuad>(codes);
    for (int i = 0; i < kCount; ++i) {
      sums[i] = V::template Dot<kBits>(sums[i], weights, V::LoadQuad(quads + 4 * i));
    }
    AddQuads<V, kFormat, kQuad + 1, kEnd>(codes, quads + quad_stride, quad_stride, sums);
  }
}

// The shifts of group kGroup of a chunk: after codes and scales stand those of the whole chunk,
// then those of its halves.
template <X16Format kFormat, int kGroup>
inline const std::byte* ShiftsOf(const std::byte* chunk, int tile_rows) {
  return chunk + (kQuads + (kFormat.ChunkGroups() == 1 ? 1 : 2 + kGroup)) * 4 * tile_rows;
}

// Adds what group kGroup of a chunk gives, without the activations' scales, to the products of the
// chunk; group 0 sets them.
template <typename V, X16Format kFormat, int kGroup, int kCount>
inline void AddGroup(const std::byte* block, int chunk, int lane, const std::byte* tile,
                     int tile_rows, typename V::Floats (&products)[kCount]) {
  constexpr int kGroups = kFormat.ChunkGroups(), kGroupQuads = kQuads / kGroups;
  constexpr int kFirst = kGroup * kGroupQuads;
  const int64_t stride = 4 * tile_rows;
  const std::byte* codes = block + kFormat.CodesOffset() + chunk * kFormat.ChunkBytes() + 4 * lane;
  typename V::Ints sums[kCount];
  for (auto& sum : sums) sum = V::Zero();
  AddQuads<V, kFormat, kFirst, kFirst + kGroupQuads>(codes, tile + kFirst * stride, stride, sums);
  const auto factors = FactorsOf<V, kFormat>(block, chunk * kGroups + kGroup, lane);
  const std::byte* shifts = ShiftsOf<kFormat, kGroup>(tile, tile_rows);
  for (int i = 0; i < kCount; ++i) {
    const auto sum = V::FromInts(sums[i]);
    products[i] =
        kGroup == 0 ? V::Mul(sum, factors.scale) : V::Fma(sum, factors.scale, products[i]);
    products[i] = V::Fma(factors.min, V::Broadcast(LoadFloat(shifts + 4 * i)), products[i]);
  }
}

// X16MultiplyFn for V::kLanes rows of the strip, from row `lane` on, and kCount rows of the tile,
// from the row on that `tile` points at.
template <typename V, X16Format kFormat, int kCount>
void MultiplyLanes(const std::byte* strip, int lane, int64_t cols, const std::byte* tile,
                   int tile_rows, float* y, int64_t y_stride) {
  typename V::Floats totals[kCount], products[kCount];
  for (auto& total : totals) total = V::Broadcast(0);
  for (int64_t col = 0; col < cols; col += kFormat.BlockColumns(), strip += kFormat.BlockBytes()) {
    for (int chunk = 0; chunk < kFormat.chunks; ++chunk) {
      AddGroup<V, kFormat, 0>(strip, chunk, lane, tile, tile_rows, products);
      if constexpr (kFormat.group < kChunk) {
        AddGroup<V, kFormat, 1>(strip, chunk, lane, tile, tile_rows, products);
      }
      const std::byte* scales = tile + kChunk * tile_rows;
      for (int i = 0; i < kCount; ++i) {
        totals[i] = V::Fma(products[i], V::Broadcast(LoadFloat(scales + 4 * i)), totals[i]);
      }
      tile += kQ8ChunkBytes * tile_rows;
    }
  }
  for (int i = 0; i < kCount; ++i) V::Store(y + i * y_stride + lane, totals[i]);
}

template <typename V, X16Format kFormat, int kCount>
void MultiplyRows(const std::byte* strip, int64_t cols, const std::byte* tile, int tile_rows,
                  float* y, int64_t y_stride) {
  for (int lane = 0; lane < kX16Rows; lane += V::kLanes) {
    MultiplyLanes<V, kFormat, kCount>(strip, lane, cols, tile, tile_rows, y, y_stride);
  }
}

// Calls the instance for `count` rows, at most kCount.
template <typename V, X16Format kFormat, int kCount>
void MultiplySome(int count, const std::byte* strip, int64_t cols, const std::byte* tile,
                  int tile_rows, float* y, int64_t y_stride) {
  if (count == kCount) {
    MultiplyRows<V, kFormat, kCount>(strip, cols, tile, tile_rows, y, y_stride);
  } else if constexpr (kCount > 1) {
    MultiplySome<V, kFormat, kCount - 1>(count, strip, cols, tile, tile_rows, y, y_stride);
  }
}

template <typename V, X16Format kFormat>
void MultiplyTile(const std::byte* strip, int64_t cols, const std::byte* tile, int tile_rows,
                  float* y, int64_t y_stride) {
  for (int i = 0; i < tile_rows; i += V::kRows) {
    MultiplySome<V, kFormat, V::kRows>(std::min(V::kRows, tile_rows - i), strip, cols, tile + 4 * i,
                                       tile_rows, y + i * y_stride, y_stride);
  }
}

// --- Activations ------------------------------------------------------------------------------

static inline void StoreFloat(std::byte* p, float value) { std::memcpy(p, &value, sizeof(value)); }

// The largest magnitude of a chunk; NaN or infinity if a number is. As integers, the magnitudes of
// floats are in the same order, with NaN above all.
static inline float LargestMagnitude(const float* x) {
  uint32_t largest = 0;
  for (int c = 0; c < kChunk; ++c) {
    largest = std::max(largest, std::bit_cast<uint32_t>(x[c]) & 0x7fffffff);
  }
  return std::bit_cast<float>(largest);
}

static inline int32_t Sum(const int8_t* numbers) {
  int32_t sum = 0;
  for (int c = 0; c < kChunk / 2; ++c) sum += numbers[c];
  return sum;
}

// One chunk of row `row` of a tile.
static inline void QuantizeChunk(const float* x, int row, int rows, std::byte* out) {
  const float largest = LargestMagnitude(x);
  const bool is_finite = largest <= std::numeric_limits<float>::max();
  const float scale = is_finite ? largest / 127 : std::numeric_limits<float>::quiet_NaN();
  // Tiny numbers have no inverse; they are zero next to anything.
  const float inverse = scale >= std::numeric_limits<float>::min() ? 1 / scale : 0;
  constexpr float kRound = 12582912;  // 1.5 * 2^23: added, it leaves an integer in the low bits
  constexpr int32_t kRoundBits = std::bit_cast<int32_t>(kRound);
  int32_t codes[kChunk];
  for (int c = 0; c < kChunk; ++c) {
    codes[c] = std::bit_cast<int32_t>(x[c] * inverse + kRound) - kRoundBits;
  }
  int8_t bytes[kChunk];
  for (int c = 0; c < kChunk; ++c) bytes[c] = static_cast<int8_t>(codes[c]);
  for (int q = 0; q < kQuads; ++q) std::memcpy(out + 4 * (q * rows + row), bytes + 4 * q, 4);
  const int32_t halves[2] = {Sum(bytes), Sum(bytes + kChunk / 2)};
  const auto put = [&](int place, float value) {
    StoreFloat(out + 4 * ((kQuads + place) * rows + row), value);
  };
  put(0, scale);
  put(1, static_cast<float>(-kShift * (halves[0] + halves[1])));
  put(2, static_cast<float>(-kShift * halves[0]));
  put(3, static_cast<float>(-kShift * halves[1]));
}

// V::QuantizeChunks with loops that compilers make vectors of.
static inline void QuantizeChunksOf(const float* x, int64_t stride, int rows, std::byte* out) {
  for (int i = 0; i < rows; ++i) QuantizeChunk(x + i * stride, i, rows, out);
}

template <typename V>
void QuantizeTile(const float* x, int rows, int64_t cols, std::byte* tile) {
  for (int64_t col = 0; col < cols; col += kChunk, tile += kQ8ChunkBytes * rows) {
    V::QuantizeChunks(x + col, cols, rows, tile);
  }
}

// --- Measurement --------------------------------------------------------------------------------

template <typename V>
int64_t SpinProducts(int64_t rounds, int32_t* sink) {
  constexpr int kSums = 2 * V::kRows;  // a product is not ready when the next one begins
  alignas(64) std::byte codes[kQuads * 4 * kX16Rows], quads[4 * kSums];
  std::memset(codes, 3, sizeof(codes));
  std::memset(quads, 5, sizeof(quads));
  typename V::Ints sums[kSums];
  for (auto& sum : sums) sum = V::Zero();
  for (int64_t round = 0; round < rounds; ++round) {
    asm volatile("" : : "r"(codes), "r"(quads) : "memory");  // they may be others in each round
    for (int q = 0; q < kQuads; ++q) {
      const auto weights = V::LoadCodes(codes + q * 4 * kX16Rows);
      for (int i = 0; i < kSums; ++i) {
        sums[i] = V::template Dot<4>(sums[i], weights, V::LoadQuad(quads + 4 * i));
      }
    }
  }
  for (const auto& sum : sums) *sink += static_cast<int32_t>(sum[0]);
  return rounds * kQuads * kSums * V::kLanes * 4 * 2;
}

template <typename V, size_t... kIndex>
constexpr X16Isa X16IsaOf(const char* name, const char* const (&needs)[4],
                          std::index_sequence<kIndex...>) {
  return {.name = name,
          .needs = {needs[0], needs[1], needs[2], needs[3]},
          .formats = {{.multiply = MultiplyTile<V, kX16Formats[kIndex]>}...},
          .quantize = QuantizeTile<V>,
          .spin = SpinProducts<V>};
}

template <typename V>
constexpr X16Isa X16IsaOf(const char* name, const char* const (&needs)[4]) {
  return X16IsaOf<V>(name, needs, std::make_index_sequence<kX16FormatCount>());
}

}  // namespace sluice::cpu
