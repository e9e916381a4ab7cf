// x16 with AVX-512 VNNI: a vector is a register, and four products a lane are one instruction.
#include "backends/cpu/kernels/x16_avx512.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)

namespace sluice::cpu {
namespace {

struct Avx512Vnni : Avx512Base {
  static constexpr int kRows = kTileRows;

  template <int kBits>
  static Ints Dot(Ints sums, Codes codes, Quad quad) {
    return _mm512_dpbusd_epi32(sums, codes, quad);
  }
};

constexpr X16Isa kIsa =
    X16IsaOf<Avx512Vnni>("avx512vnni", {"avx512f", "avx512bw", "avx512vnni", nullptr});

}  // namespace

const X16Isa* const kX16Avx512Vnni = &kIsa;

}  // namespace sluice::cpu

#else

namespace sluice::cpu {

const X16Isa* const kX16Avx512Vnni = nullptr;

}  // namespace sluice::cpu

#endif
