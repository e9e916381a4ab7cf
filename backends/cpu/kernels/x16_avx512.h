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
  static Floats NegativeFma(Floats a, Floats b, Floats c) { return _mm512_fnmadd_ps(a, b, c); }
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
};

}  // namespace
}  // namespace sluice::cpu

#endif
