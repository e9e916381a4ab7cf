// Vectors of AVX2, FMA and F16C.
#include "backends/cpu/kernels/vector_kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>

#include <cstring>

namespace sluice::cpu {
namespace {

struct Avx2 {
  static constexpr int kLanes = 8;
  static constexpr int kPanelVectors = 2;
  using Floats = __m256;

  static Floats Load(const float* p) { return _mm256_loadu_ps(p); }
  static void Store(float* p, Floats a) { _mm256_storeu_ps(p, a); }
  static Floats Broadcast(float a) { return _mm256_set1_ps(a); }
  static Floats LoadPart(const float* p, int64_t n, Floats rest) {
    const __m256i first = First(n);
    return _mm256_blendv_ps(rest, _mm256_maskload_ps(p, first), _mm256_castsi256_ps(first));
  }
  static void StorePart(float* p, Floats a, int64_t n) { _mm256_maskstore_ps(p, First(n), a); }

  static Floats Add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static Floats Sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
  static Floats Mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats Div(Floats a, Floats b) { return _mm256_div_ps(a, b); }
  static Floats Fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static Floats Min(Floats a, Floats b) { return _mm256_min_ps(a, b); }
  static Floats Max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static Floats Round(Floats a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  // In two steps: 2^n itself may lie outside the range of floats.
  static Floats ScaleByPowerOf2(Floats a, Floats n) {
    const __m256i exponent = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(exponent, 1);
    return Mul(Mul(a, PowerOf2(half)), PowerOf2(_mm256_sub_epi32(exponent, half)));
  }
  static Floats IfLess(Floats a, Floats b, Floats x, Floats y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
  }
  static float Sum(Floats a) {
    __m128 sums = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    sums = _mm_add_ps(sums, _mm_movehl_ps(sums, sums));
    return _mm_cvtss_f32(_mm_add_ss(sums, _mm_movehdup_ps(sums)));
  }
  static float Largest(Floats a) {
    __m128 most = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    most = _mm_max_ps(most, _mm_movehl_ps(most, most));
    return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
  }
  static Floats SwapPairs(Floats a) { return _mm256_permute_ps(a, 0xB1); }

  static Floats LoadF16(const std::byte* p) { return _mm256_cvtph_ps(LoadHalves(p)); }
  static Floats LoadBf16(const std::byte* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(LoadHalves(p)), 16));
  }
  static Floats LoadInt8(const std::byte* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  }
  static Floats BroadcastF16(const std::byte* p) {
    int16_t half;
    std::memcpy(&half, p, sizeof(half));
    return _mm256_cvtph_ps(_mm_set1_epi16(half));
  }
  static void StoreF16(std::byte* p, Floats a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
  }

 private:
  static __m256i First(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static __m128i LoadHalves(const std::byte* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  static Floats PowerOf2(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
};

constexpr VectorIsa kIsa = VectorIsaOf<Avx2>("avx2", "avx2", "fma", "f16c");

}  // namespace

const VectorIsa* const kVectorAvx2 = &kIsa;

}  // namespace sluice::cpu

#else

namespace sluice::cpu {

const VectorIsa* const kVectorAvx2 = nullptr;

}  // namespace sluice::cpu

#endif
