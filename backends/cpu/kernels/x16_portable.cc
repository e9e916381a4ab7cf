// x16 for any processor: the compilers' vectors of four, which every target has or can imitate.
#include <cstring>

#include "backends/cpu/kernels/x16_kernel.h"

namespace sluice::cpu {
namespace {

struct Portable {
  static constexpr int kLanes = 4;
  using Floats = float __attribute__((vector_size(4 * kLanes)));
  using Words = uint32_t __attribute__((vector_size(4 * kLanes)));
  using Chars = int8_t __attribute__((vector_size(4 * kLanes)));
  using Halves = int16_t __attribute__((vector_size(4 * kLanes)));
  using Ints = int32_t __attribute__((vector_size(4 * kLanes)));

  static Floats Load(const float* p) {
    Floats a;
    std::memcpy(&a, p, sizeof(a));
    return a;
  }
  static void Store(float* p, Floats a) { std::memcpy(p, &a, sizeof(a)); }
  static Floats Broadcast(float a) { return Floats{a, a, a, a}; }
  static Floats Mul(Floats a, Floats b) { return a * b; }
  static Floats Sub(Floats a, Floats b) { return a - b; }
  static Floats Fma(Floats a, Floats b, Floats c) { return a * b + c; }
  static Floats NegativeFma(Floats a, Floats b, Floats c) { return c - a * b; }
  static Words LoadWords(const std::byte* p) {
    Words a;
    std::memcpy(&a, p, sizeof(a));
    return a;
  }
  static Floats LowNibbles(Words a) {
    return __builtin_convertvector(reinterpret_cast<Ints>(a & 15), Floats);
  }
  static Words NextNibbles(Words a) { return a >> 4; }
  // Moves byte i to the top of word i, by two interleavings with zeros, which processors have.
  static Floats Bytes(const std::byte* p) {
    Chars bytes = {};
    std::memcpy(&bytes, p, kLanes);
    const auto halves = reinterpret_cast<Halves>(__builtin_shufflevector(
        Chars{}, bytes, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
    const auto words =
        reinterpret_cast<Ints>(__builtin_shufflevector(Halves{}, halves, 0, 8, 1, 9, 2, 10, 3, 11));
    return __builtin_convertvector(words >> 24, Floats);
  }
};

constexpr X16Isa kIsa = X16IsaOf<Portable>("portable", nullptr, nullptr, 2);

}  // namespace

const X16Isa* const kX16Portable = &kIsa;

}  // namespace sluice::cpu
