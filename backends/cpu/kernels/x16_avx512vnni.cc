// x16 with AVX-512 VNNI: a vector is a register, and four products a lane are one instruction.
#include "backends/cpu/kernels/x16_avx512.h"
#include "backends/cpu/kernels/x16_expanded.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)

namespace sluice::cpu {
namespace {

struct Avx512Vnni : Avx512Base {
  static constexpr int kRows = kTileRows;

  template <int kBits>
  static Ints Dot(Ints sums, Codes codes, Quad quad) {
    return _mm512_dpbusd_epi32(sums, codes, quad);
  }

  static Codes AddBytes(Codes codes, int n) {
    return _mm512_add_epi8(codes, _mm512_set1_epi8(static_cast<char>(n)));
  }
  static void StoreCodes(std::byte* p, Codes codes) { _mm512_storeu_si512(p, codes); }
  static Floats LoadFloats(const std::byte* p) { return _mm512_loadu_ps(p); }
  static Floats Add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
};

constexpr X16Isa kIsa = WithExpansion<Avx512Vnni>(
    X16IsaOf<Avx512Vnni>("avx512vnni", {"avx512f", "avx512bw", "avx512vnni", nullptr}));

}  // namespace

const X16Isa* const kX16Avx512Vnni = &kIsa;

}  // namespace sluice::cpu

#else

namespace sluice::cpu {

const X16Isa* const kX16Avx512Vnni = nullptr;

}  // namespace sluice::cpu

#endif
