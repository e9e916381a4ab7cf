// x16 with AVX2, FMA and F16C: a vector is half of the rows.
#include "backends/cpu/kernels/x16_kernel.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>

#include "graph/formats/blocks.h"

namespace sluice::cpu {
namespace {

struct Avx2 {
  static constexpr int kLanes = 8;
  static constexpr int kRows = 4;  // 16 registers: sums and totals of four rows
  using Floats = __m256;
  using Ints = __m256i;
  using Codes = __m256i;
  using Quad = __m256i;

  static void Store(float* p, Floats a) { _mm256_storeu_ps(p, a); }
  static Floats Broadcast(float a) { return _mm256_set1_ps(a); }
  static Floats Mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats Fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static Floats FromHalves(const std::byte* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Floats FromBytes(const std::byte* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  }
  static Ints IntsFromBytes(const std::byte* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  static Ints AndInts(Ints a, int bits) { return _mm256_and_si256(a, _mm256_set1_epi32(bits)); }
  static Ints AddInts(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
  static Ints ShiftRight(Ints a, int bits) { return _mm256_srl_epi32(a, _mm_cvtsi32_si128(bits)); }
  static Ints ShiftLeft(Ints a, int bits) { return _mm256_sll_epi32(a, _mm_cvtsi32_si128(bits)); }
  static Floats FromInts(Ints a) { return _mm256_cvtepi32_ps(a); }
  static Ints Zero() { return _mm256_setzero_si256(); }
  static Codes LoadCodes(const std::byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Quad LoadQuad(const std::byte* p) {
    int32_t quad;
    std::memcpy(&quad, p, sizeof(quad));
    return _mm256_set1_epi32(quad);
  }
  template <int kBits>
  static Codes Left(Codes a) {
    return _mm256_slli_epi16(a, kBits);
  }
  template <int kBits>
  static Codes Right(Codes a) {
    return _mm256_srli_epi16(a, kBits);
  }
  static Codes And(Codes a, uint8_t bits) {
    return _mm256_and_si256(a, _mm256_set1_epi8(static_cast<char>(bits)));
  }
  static Codes Or(Codes a, Codes b) { return _mm256_or_si256(a, b); }
  static Codes Iq4(Codes codes) {
    const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kIq4Values));
    const __m128i table = _mm_add_epi8(values, _mm_set1_epi8(127));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), codes);
  }
  template <int kBits>
  static Ints Dot(Ints sums, Codes codes, Quad quad) {
    if constexpr (kBits == 8) {
      // Two products of 255 * 127 do not fit into 16 bits: even and odd columns apart.
      const __m256i even = _mm256_madd_epi16(_mm256_and_si256(codes, _mm256_set1_epi16(255)),
                                             _mm256_srai_epi16(_mm256_slli_epi16(quad, 8), 8));
      const __m256i odd =
          _mm256_madd_epi16(_mm256_srli_epi16(codes, 8), _mm256_srai_epi16(quad, 8));
      return _mm256_add_epi32(sums, _mm256_add_epi32(even, odd));
    } else {
      const __m256i pairs = _mm256_maddubs_epi16(codes, quad);
      return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
  }
  static void QuantizeChunks(const float* x, int64_t stride, int rows, std::byte* out) {
    QuantizeChunksOf(x, stride, rows, out);
  }
};

constexpr X16Isa kIsa = X16IsaOf<Avx2>("avx2", {"avx2", "fma", "f16c", nullptr});

}  // namespace

const X16Isa* const kX16Avx2 = &kIsa;

}  // namespace sluice::cpu

#else

namespace sluice::cpu {

const X16Isa* const kX16Avx2 = nullptr;

}  // namespace sluice::cpu

#endif
