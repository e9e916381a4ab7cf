// x16 with AVX-512F: a vector is a register.
#include "backends/cpu/kernels/x16_kernel.h"

#if defined(__AVX512F__)

#include <immintrin.h>

namespace sluice::cpu {
namespace {

struct Avx512 {
  static constexpr int kLanes = 16;
  using Floats = __m512;
  using Words = __m512i;

  static Floats Load(const float* p) { return _mm512_loadu_ps(p); }
  static void Store(float* p, Floats a) { _mm512_storeu_ps(p, a); }
  static Floats Broadcast(float a) { return _mm512_set1_ps(a); }
  static Floats Mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats Sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
  static Floats Fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats NegativeFma(Floats a, Floats b, Floats c) { return _mm512_fnmadd_ps(a, b, c); }
  static Words LoadWords(const std::byte* p) { return _mm512_loadu_si512(p); }
  // A permutation looks at the low four bits of each word only: it masks and converts in one.
  static Floats LowNibbles(Words a) {
    const Floats numbers = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_permutexvar_ps(a, numbers);
  }
  static Words NextNibbles(Words a) { return _mm512_srli_epi32(a, 4); }
  static Floats Bytes(const std::byte* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
  }
};

constexpr X16Isa kIsa = X16IsaOf<Avx512>("avx512", "avx512f", nullptr, 32);

}  // namespace

const X16Isa* const kX16Avx512 = &kIsa;

}  // namespace sluice::cpu

#else

namespace sluice::cpu {

const X16Isa* const kX16Avx512 = nullptr;

}  // namespace sluice::cpu

#endif
