// x16 in plain C++: a vector is an array, whose loops compilers vectorise.
#include <cstring>

#include "backends/cpu/kernels/x16_kernel.h"

namespace sluice::cpu {
namespace {

struct Portable {
  struct Floats {
    float lanes[kX16Rows];
  };
  struct Words {
    uint32_t lanes[kX16Rows];
  };

  static Floats Load(const float* p) {
    Floats a;
    std::memcpy(a.lanes, p, sizeof(a.lanes));
    return a;
  }
  static void Store(float* p, const Floats& a) { std::memcpy(p, a.lanes, sizeof(a.lanes)); }
  static Floats Broadcast(float a) {
    return Make([&](int) { return a; });
  }
  static Floats Mul(const Floats& a, const Floats& b) {
    return Make([&](int r) { return a.lanes[r] * b.lanes[r]; });
  }
  static Floats Sub(const Floats& a, const Floats& b) {
    return Make([&](int r) { return a.lanes[r] - b.lanes[r]; });
  }
  static Floats Fma(const Floats& a, const Floats& b, const Floats& c) {
    return Make([&](int r) { return a.lanes[r] * b.lanes[r] + c.lanes[r]; });
  }
  static Floats NegativeFma(const Floats& a, const Floats& b, const Floats& c) {
    return Make([&](int r) { return c.lanes[r] - a.lanes[r] * b.lanes[r]; });
  }
  static Words LoadWords(const std::byte* p) {
    Words a;
    std::memcpy(a.lanes, p, sizeof(a.lanes));
    return a;
  }
  static Floats LowNibbles(const Words& a) {
    return Make([&](int r) { return static_cast<float>(static_cast<int>(a.lanes[r] & 15)); });
  }
  static Words NextNibbles(Words a) {
    for (uint32_t& lane : a.lanes) lane >>= 4;
    return a;
  }
  static Floats Bytes(const std::byte* p) {
    return Make([&](int r) { return static_cast<float>(static_cast<int8_t>(p[r])); });
  }

 private:
  template <typename Lane>
  static Floats Make(const Lane& lane) {
    Floats a;
    for (int r = 0; r < kX16Rows; ++r) a.lanes[r] = lane(r);
    return a;
  }
};

constexpr X16Isa kIsa = X16IsaOf<Portable>("portable", nullptr, nullptr);

}  // namespace

const X16Isa* const kX16Portable = &kIsa;

}  // namespace sluice::cpu
