// Vectors for any processor: the compilers' vectors of four, which every target has or can imitate.
#include <cstring>

#include "backends/cpu/kernels/vector_kernels.h"
#include "graph/formats/half.h"

namespace sluice::cpu {
namespace {

struct Portable {
  static constexpr int kLanes = 4;
  static constexpr int kPanelVectors = 2;
  using Floats = float __attribute__((vector_size(4 * kLanes)));
  using Words = uint32_t __attribute__((vector_size(4 * kLanes)));
  using Ints = int32_t __attribute__((vector_size(4 * kLanes)));

  static Floats Load(const float* p) {
    Floats a;
    std::memcpy(&a, p, sizeof(a));
    return a;
  }
  static void Store(float* p, Floats a) { std::memcpy(p, &a, sizeof(a)); }
  static Floats Broadcast(float a) { return Floats{a, a, a, a}; }
  static Floats LoadPart(const float* p, int64_t n, Floats rest) {
    std::memcpy(&rest, p, static_cast<size_t>(n) * sizeof(float));
    return rest;
  }
  static void StorePart(float* p, Floats a, int64_t n) {
    std::memcpy(p, &a, static_cast<size_t>(n) * sizeof(float));
  }

  static Floats Add(Floats a, Floats b) { return a + b; }
  static Floats Sub(Floats a, Floats b) { return a - b; }
  static Floats Mul(Floats a, Floats b) { return a * b; }
  static Floats Div(Floats a, Floats b) { return a / b; }
  static Floats Fma(Floats a, Floats b, Floats c) { return a * b + c; }
  static Floats Min(Floats a, Floats b) { return a < b ? a : b; }
  static Floats Max(Floats a, Floats b) { return a > b ? a : b; }
  // The sum has no bits for a fraction.
  static Floats Round(Floats a) {
    const Floats rounds = Broadcast(0x1.8p23F);
    return (a + rounds) - rounds;
  }
  // In two steps: 2^n itself may lie outside the range of floats.
  static Floats ScaleByPowerOf2(Floats a, Floats n) {
    const Ints exponent = __builtin_convertvector(n, Ints);
    const Ints half = exponent >> 1;
    return a * PowerOf2(half) * PowerOf2(exponent - half);
  }
  static Floats IfLess(Floats a, Floats b, Floats x, Floats y) { return a < b ? x : y; }
  static float Sum(Floats a) { return (a[0] + a[2]) + (a[1] + a[3]); }
  static float Largest(Floats a) {
    float largest = a[0];
    for (int i = 1; i < kLanes; ++i) largest = a[i] > largest ? a[i] : largest;
    return largest;
  }
  static Floats SwapPairs(Floats a) { return __builtin_shufflevector(a, a, 1, 0, 3, 2); }

  static Floats LoadF16(const std::byte* p) { return LoadHalves(p, F32FromF16); }
  static Floats LoadBf16(const std::byte* p) { return LoadHalves(p, F32FromBf16); }
  static Floats LoadInt8(const std::byte* p) {
    Floats a;
    for (int i = 0; i < kLanes; ++i) a[i] = static_cast<float>(static_cast<int8_t>(p[i]));
    return a;
  }
  static Floats BroadcastF16(const std::byte* p) {
    uint16_t half;
    std::memcpy(&half, p, sizeof(half));
    return Broadcast(F32FromF16(half));
  }
  static void StoreF16(std::byte* p, Floats a) {
    uint16_t halves[kLanes];
    for (int i = 0; i < kLanes; ++i) halves[i] = F16FromF32(a[i]);
    std::memcpy(p, halves, sizeof(halves));
  }

 private:
  static Floats LoadHalves(const std::byte* p, float (*decode)(uint16_t)) {
    uint16_t halves[kLanes];
    std::memcpy(halves, p, sizeof(halves));
    Floats a;
    for (int i = 0; i < kLanes; ++i) a[i] = decode(halves[i]);
    return a;
  }
  static Floats PowerOf2(Ints n) {
    return reinterpret_cast<Floats>(reinterpret_cast<Words>(n + 127) << 23);
  }
};

constexpr VectorIsa kIsa = VectorIsaOf<Portable>("portable");

}  // namespace

const VectorIsa* const kVectorPortable = &kIsa;

}  // namespace sluice::cpu
