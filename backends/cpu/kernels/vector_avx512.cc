// Vectors of AVX-512F.
#include "backends/cpu/kernels/vector_kernels.h"

#if defined(__AVX512F__)

#include <immintrin.h>

#include <cstring>

namespace sluice::cpu {
namespace {

struct Avx512 {
  static constexpr int kLanes = 16;
  static constexpr int kPanelVectors = 4;
  using Floats = __m512;

  static Floats Load(const float* p) { return _mm512_loadu_ps(p); }
  static void Store(float* p, Floats a) { _mm512_storeu_ps(p, a); }
  static Floats Broadcast(float a) { return _mm512_set1_ps(a); }
  static Floats LoadPart(const float* p, int64_t n, Floats rest) {
    return _mm512_mask_loadu_ps(rest, First(n), p);
  }
  static void StorePart(float* p, Floats a, int64_t n) { _mm512_mask_storeu_ps(p, First(n), a); }

  static Floats Add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static Floats Sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
  static Floats Mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats Div(Floats a, Floats b) { return _mm512_div_ps(a, b); }
  static Floats Fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats Min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
  static Floats Max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static Floats Round(Floats a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT); }
  static Floats ScaleByPowerOf2(Floats a, Floats n) { return _mm512_scalef_ps(a, n); }
  static Floats IfLess(Floats a, Floats b, Floats x, Floats y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
  }
  static float Sum(Floats a) { return _mm512_reduce_add_ps(a); }
  static float Largest(Floats a) { return _mm512_reduce_max_ps(a); }
  static Floats SwapPairs(Floats a) { return _mm512_permute_ps(a, 0xB1); }

  static Floats LoadF16(const std::byte* p) { return _mm512_cvtph_ps(LoadHalves(p)); }
  static Floats LoadBf16(const std::byte* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(LoadHalves(p)), 16));
  }
  static Floats LoadInt8(const std::byte* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
  }
  static Floats BroadcastF16(const std::byte* p) {
    int16_t half;
    std::memcpy(&half, p, sizeof(half));
    return _mm512_cvtph_ps(_mm256_set1_epi16(half));
  }
  static void StoreF16(std::byte* p, Floats a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
  }

 private:
  static __mmask16 First(int64_t n) { return static_cast<__mmask16>((1U << n) - 1); }
  static __m256i LoadHalves(const std::byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
};

constexpr VectorIsa kIsa = VectorIsaOf<Avx512>("avx512", "avx512f");

}  // namespace

const VectorIsa* const kVectorAvx512 = &kIsa;

}  // namespace sluice::cpu

#else

namespace sluice::cpu {

const VectorIsa* const kVectorAvx512 = nullptr;

}  // namespace sluice::cpu

#endif
