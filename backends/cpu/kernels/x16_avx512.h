// What the two files for AVX-512 have alike. The type is of the including file alone.
#pragma once

#include "backends/cpu/kernels/x16_kernel.h"

#if defined(__AVX512F__) && defined(__AVX512BW__)

#include <immintrin.h>

#include "graph/formats/blocks.h"

namespace sluice::cpu {
namespace {

struct Avx512Base {
  static constexpr int kLanes = 16;
  using Floats = __m512;
  using Ints = __m512i;
  using Codes = __m512i;
  using Quad = __m512i;

  static void Store(float* p, Floats a) { _mm512_storeu_ps(p, a); }
  static Floats Broadcast(float a) { return _mm512_set1_ps(a); }
  static Floats Mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats Fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats FromHalves(const std::byte* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Floats FromBytes(const std::byte* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
  }
  static Ints IntsFromBytes(const std::byte* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Ints AndInts(Ints a, int bits) { return _mm512_and_si512(a, _mm512_set1_epi32(bits)); }
  static Ints AddInts(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
  static Ints ShiftRight(Ints a, int bits) { return _mm512_srl_epi32(a, _mm_cvtsi32_si128(bits)); }
  static Ints ShiftLeft(Ints a, int bits) { return _mm512_sll_epi32(a, _mm_cvtsi32_si128(bits)); }
  static Floats FromInts(Ints a) { return _mm512_cvtepi32_ps(a); }
  static Ints Zero() { return _mm512_setzero_si512(); }
  static Codes LoadCodes(const std::byte* p) { return _mm512_loadu_si512(p); }
  static Quad LoadQuad(const std::byte* p) {
    int32_t quad;
    std::memcpy(&quad, p, sizeof(quad));
    return _mm512_set1_epi32(quad);
  }
  template <int kBits>
  static Codes Left(Codes a) {
    return _mm512_slli_epi16(a, kBits);
  }
  template <int kBits>
  static Codes Right(Codes a) {
    return _mm512_srli_epi16(a, kBits);
  }
  static Codes And(Codes a, uint8_t bits) {
    return _mm512_and_si512(a, _mm512_set1_epi8(static_cast<char>(bits)));
  }
  static Codes Or(Codes a, Codes b) { return _mm512_or_si512(a, b); }
  static Codes Iq4(Codes codes) {
    const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kIq4Values));
    const __m128i table = _mm_add_epi8(values, _mm_set1_epi8(127));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), codes);
  }

  // As QuantizeChunksOf; scales and sums, one a row, are computed as vectors of eight rows.
  static void QuantizeChunks(const float* x, int64_t stride, int rows, std::byte* out) {
    alignas(64) uint32_t largest[kTileRows] = {};
    for (int i = 0; i < rows; ++i) {
      const __m512i sign_off = _mm512_set1_epi32(0x7fffffff);
      const __m512i low = _mm512_loadu_si512(x + i * stride);
      const __m512i high = _mm512_loadu_si512(x + i * stride + 16);
      largest[i] = _mm512_reduce_max_epu32(
          _mm512_max_epu32(_mm512_and_si512(low, sign_off), _mm512_and_si512(high, sign_off)));
    }
    alignas(64) float scales[kTileRows], inverses[kTileRows];
    ScalesOf(largest, scales, inverses);
    alignas(64) int32_t quads[kTileRows][kQuads];
    for (int i = 0; i < rows; ++i) {
      const __m512 inverse = _mm512_set1_ps(inverses[i]);
      for (int half = 0; half < 2; ++half) {
        const __m512 values = _mm512_loadu_ps(x + i * stride + 16 * half);
        const __m128i codes =
            _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(values, inverse)));
        _mm_store_si128(reinterpret_cast<__m128i*>(quads[i] + 4 * half), codes);
      }
    }
    StoreTile(quads, scales, rows, out);
  }

 private:
  // Scales and their inverses, as QuantizeChunk has them.
  static void ScalesOf(const uint32_t* largest, float* scales, float* inverses) {
    for (int i = 0; i < kTileRows; ++i) {
      const float magnitude = std::bit_cast<float>(largest[i]);
      const bool is_finite = magnitude <= std::numeric_limits<float>::max();
      scales[i] = is_finite ? magnitude / 127 : std::numeric_limits<float>::quiet_NaN();
      inverses[i] = scales[i] >= std::numeric_limits<float>::min() ? 1 / scales[i] : 0;
    }
  }

  // Quads of the rows side by side, which are then summed up in one go.
  static void StoreTile(const int32_t (&quads)[kTileRows][kQuads], const float* scales, int rows,
                        std::byte* out) {
    const auto put = [&](int place, __m256i row_values) {
      const auto mask = static_cast<__mmask16>((1 << rows) - 1);
      _mm512_mask_storeu_epi32(out + place * 4 * rows, mask, _mm512_castsi256_si512(row_values));
    };
    alignas(32) int32_t columns[kQuads][kTileRows] = {};
    for (int i = 0; i < rows; ++i) {
      for (int q = 0; q < kQuads; ++q) columns[q][i] = quads[i][q];
    }
    __m256i halves[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int q = 0; q < kQuads; ++q) {
      const __m256i codes = _mm256_load_si256(reinterpret_cast<const __m256i*>(columns[q]));
      const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes);
      halves[q / 4] =
          _mm256_add_epi32(halves[q / 4], _mm256_madd_epi16(pairs, _mm256_set1_epi16(-kShift)));
      put(q, codes);
    }
    const auto put_sums = [&](int place, __m256i sums) {
      put(place, _mm256_castps_si256(_mm256_cvtepi32_ps(sums)));
    };
    put(kQuads, _mm256_castps_si256(_mm256_load_ps(scales)));
    put_sums(kQuads + 1, _mm256_add_epi32(halves[0], halves[1]));
    put_sums(kQuads + 2, halves[0]);
    put_sums(kQuads + 3, halves[1]);
  }
};

}  // namespace
}  // namespace sluice::cpu

#endif
