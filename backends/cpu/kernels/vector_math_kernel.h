// The loops of VectorMath over vectors. V says what a vector is:
//
//   kLanes, Floats            floats to a vector
//   kPanelVectors             vectors of a row of a product that fit registers, six rows at a time
//   Load, Store, Broadcast
//   LoadPart(p, n, rest)      the first n lanes from memory, the others from `rest`
//   StorePart(p, a, n)
//   Add, Sub, Mul, Div, Fma   a * b + c; on its own a product is rounded
//   Min, Max                  b where a lane of either is no number
//   Round                     to a whole number
//   ScaleByPowerOf2(a, n)     a * 2^n, n whole and in -151 .. 128
//   IfLess(a, b, x, y)        a < b ? x : y
//   Sum, Largest              of all lanes
//   SwapPairs                 lanes 2i and 2i + 1 exchanged
//   LoadF16, LoadBf16, LoadInt8, StoreF16
//   BroadcastF16(p)           the half there in all lanes
//
// V is a type of the including file alone, so that no two files share an instantiation. These files
// are compiled without contraction of products and sums.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/kernels/vector_isa.h"
#include "graph/dtype.h"

namespace sluice::cpu {

// Numbers of a plain float format.
template <typename V, DType kDType>
inline typename V::Floats LoadElements(const std::byte* p) {
  if constexpr (kDType == DType::kF16) {
    return V::LoadF16(p);
  } else if constexpr (kDType == DType::kBF16) {
    return V::LoadBf16(p);
  } else {
    return V::Load(reinterpret_cast<const float*>(p));
  }
}
template <DType kDType>
inline constexpr int64_t kBytesOf = kDType == DType::kF32 ? 4 : 2;

// Numbers i, i + 1, ... of a row of plain floats or of q8_0, where i is a multiple of kLanes.
template <typename V, DType kDType>
inline typename V::Floats ElementsAt(const std::byte* row, int64_t i) {
  if constexpr (kDType == DType::kQ8_0) {
    constexpr int64_t kElements = 32, kScaleBytes = 2;
    const std::byte* block = row + i / kElements * (kScaleBytes + kElements);
    return V::Mul(V::BroadcastF16(block), V::LoadInt8(block + kScaleBytes + i % kElements));
  } else {
    return LoadElements<V, kDType>(row + i * kBytesOf<kDType>);
  }
}

// How a loop reaches memory: a whole vector, or the part that is left at the end of a row.
template <typename V>
struct WholeVector {
  using Floats = typename V::Floats;
  Floats Load(const float* p) const { return V::Load(p); }
  Floats LoadOr(const float* p, float) const { return V::Load(p); }
  void Store(float* p, Floats a) const { V::Store(p, a); }
  void StoreF16(std::byte* p, Floats a) const { V::StoreF16(p, a); }
};
template <typename V>
struct PartOfVector {
  using Floats = typename V::Floats;
  Floats Load(const float* p) const { return LoadOr(p, 0); }
  Floats LoadOr(const float* p, float rest) const { return V::LoadPart(p, n, V::Broadcast(rest)); }
  void Store(float* p, Floats a) const { V::StorePart(p, a, n); }
  void StoreF16(std::byte* p, Floats a) const {
    std::byte halves[V::kLanes * 2];
    V::StoreF16(halves, a);
    __builtin_memcpy(p, halves, static_cast<size_t>(2 * n));
  }

  int64_t n;
};

// Calls use(memory, i) for every vector of n floats, the first of which is i.
template <typename V, typename Use>
inline void ForVectors(int64_t n, const Use& use) {
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) use(WholeVector<V>{}, i);
  if (i < n) use(PartOfVector<V>{n - i}, i);
}

template <typename V, typename Function>
inline void Map(const float* x, int64_t n, float* y, const Function& function) {
  ForVectors<V>(n,
                [&](auto memory, int64_t i) { memory.Store(y + i, function(memory.Load(x + i))); });
}
template <typename V, typename Function>
inline void Map(const float* a, const float* b, int64_t n, float* y, const Function& function) {
  ForVectors<V>(n, [&](auto memory, int64_t i) {
    memory.Store(y + i, function(memory.Load(a + i), memory.Load(b + i)));
  });
}

// x = n ln 2 + r with |r| <= ln 2 / 2; exp(r) = 1 + r + r^2 p(r), where p is the polynomial of
// least largest relative error, 3.3e-9.
template <typename V>
inline typename V::Floats Exp(typename V::Floats x) {
  using Floats = typename V::Floats;
  // Beyond these limits the result is 0 or infinite.
  x = V::Min(V::Broadcast(89.0F), V::Max(V::Broadcast(-104.5F), x));
  const Floats n = V::Round(V::Mul(x, V::Broadcast(1.44269504F)));
  // ln 2 in two parts: n times the first, of 9 bits, is exact.
  Floats r = V::Fma(n, V::Broadcast(-0.693359375F), x);
  r = V::Fma(n, V::Broadcast(2.12194440e-4F), r);
  constexpr float kRest[] = {0.0083694059F, 0.0416684513F, 0.166665149F, 0.49999993F};
  Floats p = V::Broadcast(0.00138135915F);
  for (const float c : kRest) p = V::Fma(p, r, V::Broadcast(c));
  const Floats result = V::Add(V::Broadcast(1), V::Fma(V::Mul(r, r), p, r));
  return V::ScaleByPowerOf2(result, n);
}

// x / (1 + exp(-z))
template <typename V>
inline typename V::Floats Gated(typename V::Floats x, typename V::Floats z) {
  const auto one = V::Broadcast(1);
  return V::Div(x, V::Add(one, Exp<V>(V::Sub(V::Broadcast(0), z))));
}

template <typename V>
inline typename V::Floats Silu(typename V::Floats x) {
  return Gated<V>(x, x);
}

// x (1 + tanh(u)) / 2 = x / (1 + exp(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3)
template <typename V>
inline typename V::Floats GeluTanh(typename V::Floats x) {
  constexpr float kTwiceSqrt2OverPi = 1.5957691216057308F;
  const auto cubic = V::Fma(V::Mul(x, x), V::Broadcast(0.044715F), V::Broadcast(1));
  return Gated<V>(x, V::Mul(V::Mul(x, V::Broadcast(kTwiceSqrt2OverPi)), cubic));
}

template <typename V>
inline float LargestOf(const float* x, int64_t n) {
  auto largest = V::Broadcast(x[0]);
  ForVectors<V>(
      n, [&](auto memory, int64_t i) { largest = V::Max(memory.LoadOr(x + i, x[0]), largest); });
  return V::Largest(largest);
}

// y = exp(x - shift); returns the sum.
template <typename V>
inline float ExpRow(const float* x, float shift, int64_t n, float* y) {
  constexpr float kNothing = -__builtin_inff();  // its power is 0
  auto sum = V::Broadcast(0);
  ForVectors<V>(n, [&](auto memory, int64_t i) {
    const auto power = Exp<V>(V::Sub(memory.LoadOr(x + i, kNothing), V::Broadcast(shift)));
    memory.Store(y + i, power);
    sum = V::Add(sum, power);
  });
  return V::Sum(sum);
}

template <typename V>
inline float SumOf(const float* x, int64_t n) {
  auto sum = V::Broadcast(0);
  ForVectors<V>(n, [&](auto memory, int64_t i) { sum = V::Add(sum, memory.Load(x + i)); });
  return V::Sum(sum);
}

template <typename V>
inline float SumOfSquares(const float* x, int64_t n) {
  // A multiply-add waits for the one before it: four sums.
  constexpr int kSums = 4;
  typename V::Floats sums[kSums];
  for (auto& sum : sums) sum = V::Broadcast(0);
  int64_t i = 0;
  for (; i + kSums * V::kLanes <= n; i += kSums * V::kLanes) {
    for (int j = 0; j < kSums; ++j) {
      const auto a = V::Load(x + i + j * V::kLanes);
      sums[j] = V::Fma(a, a, sums[j]);
    }
  }
  ForVectors<V>(n - i, [&](auto memory, int64_t j) {
    const auto a = memory.Load(x + i + j);
    sums[0] = V::Fma(a, a, sums[0]);
  });
  return V::Sum(V::Add(V::Add(sums[0], sums[1]), V::Add(sums[2], sums[3])));
}

// The sine and cosine of `quarters` * pi / 2 + r, with |r| <= pi / 4 and quarters in -2 .. 2.
template <typename V>
inline void SinCos(typename V::Floats r, typename V::Floats quarters, typename V::Floats* sine,
                   typename V::Floats* cosine) {
  using Floats = typename V::Floats;
  const auto polynomial = [](Floats z, float c2, float c1, float c0) {
    return V::Fma(V::Fma(V::Broadcast(c2), z, V::Broadcast(c1)), z, V::Broadcast(c0));
  };
  const Floats one = V::Broadcast(1), half = V::Broadcast(0.5F), zero = V::Broadcast(0);
  const Floats z = V::Mul(r, r);
  // Of least largest error: 3.7e-9 relative and 1e-10.
  const Floats s = polynomial(z, -0.000195166551F, 0.00833217354F, -0.166666549F);
  const Floats c = polynomial(z, 2.44377409e-05F, -0.00138873616F, 0.0416666467F);
  const Floats sine_r = V::Fma(V::Mul(z, r), s, r);
  const Floats cosine_r = V::Add(one, V::Fma(V::Mul(z, z), c, V::Mul(z, V::Broadcast(-0.5F))));
  // sin is positive for quarters 0 and 1, cos for -1 and 0; odd quarters exchange the two.
  const auto square = [](Floats a) { return V::Mul(a, a); };
  const Floats from_odd = square(V::Sub(square(quarters), one));  // 0 where odd
  const Floats sine_size = V::IfLess(from_odd, half, cosine_r, sine_r);
  const Floats cosine_size = V::IfLess(from_odd, half, sine_r, cosine_r);
  *sine = V::IfLess(square(V::Sub(quarters, half)), one, sine_size, V::Sub(zero, sine_size));
  *cosine = V::IfLess(square(V::Add(quarters, half)), one, cosine_size, V::Sub(zero, cosine_size));
}

// The static functions are those of VectorMath.
template <typename V>
struct VectorMathOf {
  using Floats = typename V::Floats;

  static void ExpOf(const float* x, int64_t n, float* y) { Map<V>(x, n, y, Exp<V>); }
  static void SiluOf(const float* x, int64_t n, float* y) { Map<V>(x, n, y, Silu<V>); }
  static void GeluTanhOf(const float* x, int64_t n, float* y) { Map<V>(x, n, y, GeluTanh<V>); }
  static void SiluGate(const float* gate, int64_t n, float* y) {
    Map<V>(gate, y, n, y, [](Floats a, Floats b) { return V::Mul(Silu<V>(a), b); });
  }
  static void GeluTanhGate(const float* gate, int64_t n, float* y) {
    Map<V>(gate, y, n, y, [](Floats a, Floats b) { return V::Mul(GeluTanh<V>(a), b); });
  }
  static void Softmax(const float* x, int64_t n, float* y) {
    const float sum = ExpRow<V>(x, LargestOf<V>(x, n), n, y);
    Scale(y, 1 / sum, n, y);
  }
  static void Add(const float* a, const float* b, int64_t n, float* y) {
    Map<V>(a, b, n, y, V::Add);
  }
  static void Mul(const float* a, const float* b, int64_t n, float* y) {
    Map<V>(a, b, n, y, V::Mul);
  }
  static void Scale(const float* x, float factor, int64_t n, float* y) {
    const Floats f = V::Broadcast(factor);
    Map<V>(x, n, y, [f](Floats a) { return V::Mul(a, f); });
  }
  static void AddScaled(const float* x, float factor, int64_t n, float* y) {
    const Floats f = V::Broadcast(factor);
    Map<V>(x, y, n, y, [f](Floats a, Floats b) { return V::Fma(a, f, b); });
  }

  static void RmsNorm(const float* x, const float* weight, int64_t n, double eps, float* y) {
    const double mean_square = double{SumOfSquares<V>(x, n)} / static_cast<double>(n);
    const auto factor = static_cast<float>(1 / __builtin_sqrt(mean_square + eps));
    if (weight == nullptr) return Scale(x, factor, n, y);
    const Floats f = V::Broadcast(factor);
    Map<V>(x, weight, n, y, [f](Floats a, Floats w) { return V::Mul(V::Mul(a, f), w); });
  }

  // The variance is the mean square of what is left without the mean: the sum of squares less that
  // of the mean would lose its digits where the mean is large.
  static void LayerNorm(const float* x, const float* weight, const float* bias, int64_t n,
                        double eps, float* y) {
    const Floats mean = V::Broadcast(SumOf<V>(x, n) / static_cast<float>(n));
    Map<V>(x, n, y, [mean](Floats a) { return V::Sub(a, mean); });
    RmsNorm(y, weight, n, eps, y);
    if (bias != nullptr) Add(y, bias, n, y);
  }

  static void Turns(int32_t position, const double* inverse, float magnitude, int64_t pairs,
                    float* cosines, float* sines) {
    constexpr double kHalfPi = 1.5707963267948966;
    constexpr double kRounds = 0x1.8p52;  // adding and subtracting it leaves a whole number
    for (int64_t i = 0; i < pairs; ++i) {
      const double angle = position * inverse[i];
      const double quarters = (angle * (1 / kHalfPi) + kRounds) - kRounds;
      const double turns = (quarters * 0.25 + kRounds) - kRounds;
      sines[i] = static_cast<float>(angle - quarters * kHalfPi);
      cosines[i] = static_cast<float>(quarters - 4 * turns);
    }
    const Floats m = V::Broadcast(magnitude);
    ForVectors<V>(pairs, [&](auto memory, int64_t i) {
      Floats sine, cosine;
      SinCos<V>(memory.Load(sines + i), memory.Load(cosines + i), &sine, &cosine);
      memory.Store(sines + i, V::Mul(sine, m));
      memory.Store(cosines + i, V::Mul(cosine, m));
    });
  }

  static void RotateHalves(const float* x, const float* cosines, const float* sines, int64_t pairs,
                           float* y) {
    ForVectors<V>(pairs, [&](auto memory, int64_t i) {
      const Floats a = memory.Load(x + i), b = memory.Load(x + pairs + i);
      const Floats cosine = memory.Load(cosines + i), sine = memory.Load(sines + i);
      memory.Store(y + i, V::Sub(V::Mul(a, cosine), V::Mul(b, sine)));
      memory.Store(y + pairs + i, V::Fma(a, sine, V::Mul(b, cosine)));
    });
  }
  static void RotatePairs(const float* x, const float* cosines, const float* sines, int64_t pairs,
                          float* y) {
    ForVectors<V>(2 * pairs, [&](auto memory, int64_t i) {
      const Floats a = memory.Load(x + i);
      const Floats turned = V::Mul(V::SwapPairs(a), memory.Load(sines + i));
      memory.Store(y + i, V::Fma(a, memory.Load(cosines + i), turned));
    });
  }

  static void F16FromF32(const float* x, int64_t n, std::byte* y) {
    ForVectors<V>(n,
                  [&](auto memory, int64_t i) { memory.StoreF16(y + 2 * i, memory.Load(x + i)); });
  }

  static constexpr VectorMath Table() {
    return {.exp = ExpOf,
            .silu = SiluOf,
            .gelu_tanh = GeluTanhOf,
            .silu_gate = SiluGate,
            .gelu_tanh_gate = GeluTanhGate,
            .softmax = Softmax,
            .add = Add,
            .mul = Mul,
            .scale = Scale,
            .add_scaled = AddScaled,
            .rms_norm = RmsNorm,
            .layer_norm = LayerNorm,
            .turns = Turns,
            .rotate_halves = RotateHalves,
            .rotate_pairs = RotatePairs,
            .f16_from_f32 = F16FromF32};
  }
};

}  // namespace sluice::cpu
