// x16 with AVX-512BW: a vector is a register; four products a lane are made of pairs.
#include "backends/cpu/kernels/x16_avx512.h"

#if defined(__AVX512F__) && defined(__AVX512BW__)

namespace sluice::cpu {
namespace {

struct Avx512 : Avx512Base {
  static constexpr int kRows = kTileRows;

  template <int kBits>
  static Ints Dot(Ints sums, Codes codes, Quad quad) {
    if constexpr (kBits == 8) {
      // Two products of 255 * 127 do not fit into 16 bits: even and odd columns apart.
      const __m512i even = _mm512_madd_epi16(_mm512_and_si512(codes, _mm512_set1_epi16(255)),
                                             _mm512_srai_epi16(_mm512_slli_epi16(quad, 8), 8));
      const __m512i odd =
          _mm512_madd_epi16(_mm512_srli_epi16(codes, 8), _mm512_srai_epi16(quad, 8));
      return _mm512_add_epi32(sums, _mm512_add_epi32(even, odd));
    } else {
      const __m512i pairs = _mm512_maddubs_epi16(codes, quad);
      return _mm512_add_epi32(sums, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
    }
  }
};

constexpr X16Isa kIsa = X16IsaOf<Avx512>("avx512", {"avx512f", "avx512bw", nullptr, nullptr});

}  // namespace

const X16Isa* const kX16Avx512 = &kIsa;

}  // namespace sluice::cpu

#else

namespace sluice::cpu {

const X16Isa* const kX16Avx512 = nullptr;

}  // namespace sluice::cpu

#endif
