// x16 for any processor, in plain C++: loops over four rows, which compilers make vectors of.
#include "backends/cpu/kernels/x16_kernel.h"
#include "graph/formats/blocks.h"
#include "graph/formats/half.h"

namespace sluice::cpu {
namespace {

struct Portable {
  static constexpr int kLanes = 4;
  static constexpr int kRows = 2;
  using Floats = float __attribute__((vector_size(4 * kLanes)));
  using Ints = int32_t __attribute__((vector_size(4 * kLanes)));
  using Codes = uint8_t __attribute__((vector_size(4 * kLanes)));
  using Words = uint16_t __attribute__((vector_size(4 * kLanes)));
  using Shorts = int16_t __attribute__((vector_size(4 * kLanes)));
  using Quad = int8_t __attribute__((vector_size(4 * kLanes)));

  static void Store(float* p, Floats a) { std::memcpy(p, &a, sizeof(a)); }
  static Floats Broadcast(float a) { return Floats{a, a, a, a}; }
  static Floats Mul(Floats a, Floats b) { return a * b; }
  static Floats Fma(Floats a, Floats b, Floats c) { return a * b + c; }
  static Floats FromHalves(const std::byte* p) {
    Floats a;
    for (int i = 0; i < kLanes; ++i) {
      uint16_t bits;
      std::memcpy(&bits, p + 2 * i, sizeof(bits));
      a[i] = F32FromF16(bits);
    }
    return a;
  }
  static Floats FromBytes(const std::byte* p) {
    Floats a;
    for (int i = 0; i < kLanes; ++i) a[i] = static_cast<float>(static_cast<int8_t>(p[i]));
    return a;
  }
  static Ints IntsFromBytes(const std::byte* p) {
    Ints a;
    for (int i = 0; i < kLanes; ++i) a[i] = static_cast<uint8_t>(p[i]);
    return a;
  }
  static Ints AndInts(Ints a, int bits) { return a & bits; }
  static Ints AddInts(Ints a, Ints b) { return a + b; }
  static Ints ShiftRight(Ints a, int bits) { return a >> bits; }
  static Ints ShiftLeft(Ints a, int bits) { return a << bits; }
  static Floats FromInts(Ints a) { return __builtin_convertvector(a, Floats); }
  static Ints Zero() { return Ints{}; }
  static Codes LoadCodes(const std::byte* p) {
    Codes a;
    std::memcpy(&a, p, sizeof(a));
    return a;
  }
  static Quad LoadQuad(const std::byte* p) {
    int32_t quad;
    std::memcpy(&quad, p, sizeof(quad));
    return reinterpret_cast<Quad>(Ints{quad, quad, quad, quad});
  }
  template <int kBits>
  static Codes Left(Codes a) {
    return reinterpret_cast<Codes>(reinterpret_cast<Words>(a) << kBits);
  }
  template <int kBits>
  static Codes Right(Codes a) {
    return reinterpret_cast<Codes>(reinterpret_cast<Words>(a) >> kBits);
  }
  static Codes And(Codes a, uint8_t bits) { return a & bits; }
  static Codes Or(Codes a, Codes b) { return a | b; }
  static Codes Iq4(Codes codes) {
    Codes values;
    for (size_t i = 0; i < sizeof(Codes); ++i) {
      values[i] = static_cast<uint8_t>(kIq4Values[codes[i]] + 127);
    }
    return values;
  }
  // Even and odd columns apart, as numbers of 16 bits; their products as numbers of 32.
  template <int kBits>
  static Ints Dot(Ints sums, Codes codes, Quad quad) {
    const auto c = reinterpret_cast<Shorts>(codes), q = reinterpret_cast<Shorts>(quad);
    const auto c_odd = reinterpret_cast<Shorts>(reinterpret_cast<Words>(codes) >> 8);
    return sums + Pairs(c & 255, (q << 8) >> 8) + Pairs(c_odd, q >> 8);
  }
  static void QuantizeChunks(const float* x, int64_t stride, int rows, std::byte* out) {
    QuantizeChunksOf(x, stride, rows, out);
  }

 private:
  static Ints Pairs(Shorts a, Shorts b) {
    const auto x = reinterpret_cast<Ints>(a), y = reinterpret_cast<Ints>(b);
    return ((x << 16) >> 16) * ((y << 16) >> 16) + (x >> 16) * (y >> 16);
  }
};

constexpr X16Isa kIsa = X16IsaOf<Portable>("portable", {nullptr, nullptr, nullptr, nullptr});

}  // namespace

const X16Isa* const kX16Portable = &kIsa;

}  // namespace sluice::cpu
