// x16 with AVX2 and FMA: a vector is two registers.
#include "backends/cpu/kernels/x16_kernel.h"

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

namespace sluice::cpu {
namespace {

struct Avx2 {
  struct Floats {
    __m256 low, high;
  };
  struct Words {
    __m256i low, high;
  };

  static Floats Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static void Store(float* p, Floats a) {
    _mm256_storeu_ps(p, a.low);
    _mm256_storeu_ps(p + 8, a.high);
  }
  static Floats Broadcast(float a) { return {_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
  static Floats Mul(Floats a, Floats b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
  }
  static Floats Sub(Floats a, Floats b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
  }
  static Floats Fma(Floats a, Floats b, Floats c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static Floats NegativeFma(Floats a, Floats b, Floats c) {
    return {_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)};
  }
  static Words LoadWords(const std::byte* p) {
    const auto* words = reinterpret_cast<const __m256i*>(p);
    return {_mm256_loadu_si256(words), _mm256_loadu_si256(words + 1)};
  }
  static Floats LowNibbles(Words a) {
    const __m256i mask = _mm256_set1_epi32(15);
    return Convert({_mm256_and_si256(a.low, mask), _mm256_and_si256(a.high, mask)});
  }
  static Words NextNibbles(Words a) {
    return {_mm256_srli_epi32(a.low, 4), _mm256_srli_epi32(a.high, 4)};
  }
  static Floats Bytes(const std::byte* p) {
    return Convert({_mm256_cvtepi8_epi32(LoadEight(p)), _mm256_cvtepi8_epi32(LoadEight(p + 8))});
  }

 private:
  static Floats Convert(Words a) {
    return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)};
  }
  static __m128i LoadEight(const std::byte* p) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  }
};

constexpr X16Isa kIsa = X16IsaOf<Avx2>("avx2", "avx2", "fma");

}  // namespace

const X16Isa* const kX16Avx2 = &kIsa;

}  // namespace sluice::cpu

#else

namespace sluice::cpu {

const X16Isa* const kX16Avx2 = nullptr;

}  // namespace sluice::cpu

#endif
