// x16 with AVX2 and FMA: a vector is half of the rows.
#include "backends/cpu/kernels/x16_kernel.h"

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

namespace sluice::cpu {
namespace {

struct Avx2 {
  static constexpr int kLanes = 8;
  using Floats = __m256;
  using Words = __m256i;

  static Floats Load(const float* p) { return _mm256_loadu_ps(p); }
  static void Store(float* p, Floats a) { _mm256_storeu_ps(p, a); }
  static Floats Broadcast(float a) { return _mm256_set1_ps(a); }
  static Floats Mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats Sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
  static Floats Fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static Floats NegativeFma(Floats a, Floats b, Floats c) { return _mm256_fnmadd_ps(a, b, c); }
  static Words LoadWords(const std::byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Floats LowNibbles(Words a) {
    return _mm256_cvtepi32_ps(_mm256_and_si256(a, _mm256_set1_epi32(15)));
  }
  static Words NextNibbles(Words a) { return _mm256_srli_epi32(a, 4); }
  static Floats Bytes(const std::byte* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  }
};

constexpr X16Isa kIsa = X16IsaOf<Avx2>("avx2", "avx2", "fma", 20);

}  // namespace

const X16Isa* const kX16Avx2 = &kIsa;

}  // namespace sluice::cpu

#else

namespace sluice::cpu {

const X16Isa* const kX16Avx2 = nullptr;

}  // namespace sluice::cpu

#endif
