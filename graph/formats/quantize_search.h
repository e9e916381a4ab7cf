// The search for the best scale (and min) of a group of values, for the K formats' encoders.
//
// A group x is stored as quants q, small integers, and a scale, or a scale and a min. For given
// quants the best of those are a weighted least-squares fit; for given scale and min the best
// quants are roundings. So each search tries a row of first guesses of the step, rounds to quants,
// fits, and keeps the fit whose weighted error is least. The guesses, the weights and the order of
// operations are those of ggml's reference quantisers, which makes the results equal to the bit.
//
// A group is searched one value after the other, so that there is no order of summation to choose;
// several groups are searched at once, each in its own lane of a vector. Hence results do not
// depend on the instruction set either. Both need -ffp-contract=off.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice::search {
namespace {  // compiled for several instruction sets: see quantize_k_kernel.h

#if defined(__AVX__)
constexpr size_t kLanes = 8;
#else
constexpr size_t kLanes = 4;
#endif
using Lanes [[gnu::vector_size(kLanes * sizeof(float))]] = float;

// Below, T is float or Lanes.

// To nearest, ties to even, for |value| < 2^22; beyond, close enough to be clamped.
template <typename T>
T Nearest(T value) {
  constexpr float kShift = 0x1.8p23f;  // where the unit in the last place is 1
  return (value + kShift) - kShift;
}

// NaN gives `low`.
template <typename T>
T Clamp(T value, float low, float high) {
  const T bottom = T{} + low, top = T{} + high;
  const T raised = value > bottom ? value : bottom;
  return raised < top ? raised : top;
}

inline Lanes Magnitude(Lanes value) { return value < 0.0f ? -value : value; }

// Element i of group g is lane g of values[i].
template <size_t kSize>
using Groups = std::array<Lanes, kSize>;

// `values`: kLanes groups of kSize, one behind the other.
template <size_t kSize>
void LoadGroups(const float* values, Groups<kSize>& groups) {
  for (size_t i = 0; i < kSize; ++i) {
    for (size_t lane = 0; lane < kLanes; ++lane) groups[i][lane] = values[lane * kSize + i];
  }
}

// ---- x ~ scale * q + min, q = 0 .. top, min <= 0

struct AffineSearch {
  int top;
  float first;  // guesses of the step: (highest - min) / (top + first + 0.1 c), c = 0 .. last
  int last;
  bool absolute;  // the error is a sum of |x - fit|, otherwise of squares
};

struct AffineFit {
  Lanes scale;
  Lanes min;
};

template <size_t kSize>
Lanes AffineError(const AffineSearch& search, const Groups<kSize>& x, const Groups<kSize>& weights,
                  const Groups<kSize>& quants, const AffineFit& fit) {
  Lanes error = {};
  for (size_t i = 0; i < kSize; ++i) {
    const Lanes off = fit.scale * quants[i] + fit.min - x[i];
    error += weights[i] * (search.absolute ? Magnitude(off) : off * off);
  }
  return error;
}

// Sums that do not depend on the quants.
struct AffineSums {
  Lanes w = {}, wx = {};
};

// Rounds to quants with the given inverse of the step, and fits scale and min to them: with sums
// over the group, D = sum w * sum wqq - (sum wq)^2,
//   scale = (sum w * sum wqx - sum wx * sum wq) / D,
//   min   = (sum wqq * sum wx - sum wq * sum wqx) / D.
// A min above zero cannot be stored: then it is zero, and scale = sum wqx / sum wqq. Returns D: no
// fit where that is not positive, as where all quants are the same.
template <size_t kSize>
Lanes FitQuants(const AffineSearch& search, const Groups<kSize>& x, const Groups<kSize>& weights,
                const AffineSums& sums, Lanes lowest, Lanes inverse, Groups<kSize>& quants,
                AffineFit& fit) {
  Lanes wq = {}, wqq = {}, wqx = {};
  for (size_t i = 0; i < kSize; ++i) {
    const Lanes quant =
        Clamp(Nearest(inverse * (x[i] - lowest)), 0.0f, static_cast<float>(search.top));
    const Lanes weighted = weights[i] * quant;
    quants[i] = quant;
    wq += weighted;
    wqq += weighted * quant;
    wqx += weighted * x[i];
  }
  const Lanes determinant = sums.w * wqq - wq * wq;
  const Lanes scale = (sums.w * wqx - sums.wx * wq) / determinant;
  const Lanes min = (wqq * sums.wx - wq * wqx) / determinant;
  fit.scale = min > 0.0f ? wqx / wqq : scale;
  fit.min = min > 0.0f ? Lanes{} : min;
  return determinant;
}

// The best fit, or where nothing is better, that of the plain range. Each guess begins at the min
// of the best fit so far, so that the min is searched for, too. A group of equal values has the
// scale 0.
template <size_t kSize>
AffineFit FitAffine(const AffineSearch& search, const Groups<kSize>& x,
                    const Groups<kSize>& weights) {
  Lanes lowest = x[0], highest = x[0];
  AffineSums sums = {weights[0], weights[0] * x[0]};
  for (size_t i = 1; i < kSize; ++i) {
    lowest = x[i] < lowest ? x[i] : lowest;
    highest = x[i] > highest ? x[i] : highest;
    sums.w += weights[i];
    sums.wx += weights[i] * x[i];
  }
  lowest = lowest > 0.0f ? Lanes{} : lowest;
  const float top = static_cast<float>(search.top);

  Groups<kSize> quants;
  const Lanes inverse = top / (highest - lowest);
  for (size_t i = 0; i < kSize; ++i) {
    quants[i] = Clamp(Nearest(inverse * (x[i] - lowest)), 0.0f, top);
  }
  AffineFit best = {1.0f / inverse, lowest};
  Lanes least = AffineError(search, x, weights, quants, best);
  for (int c = 0; c <= search.last; ++c) {
    const Lanes guess = (search.first + 0.1f * static_cast<float>(c) + top) / (highest - best.min);
    AffineFit fit;
    const Lanes determinant = FitQuants(search, x, weights, sums, best.min, guess, quants, fit);
    const Lanes error = AffineError(search, x, weights, quants, fit);
    const auto better = (determinant > 0.0f) & (error < least);
    least = better ? error : least;
    best.scale = better ? fit.scale : best.scale;
    best.min = better ? fit.min : best.min;
  }
  return best;
}

// ---- x ~ scale * q, q = -half .. half - 1, errors weighted with x^2

constexpr float kZeroGroup = 1e-15f;  // no larger magnitude: all quants are zero

// The value of largest magnitude, the first if several are, with its sign.
template <size_t kSize>
Lanes Extreme(const Groups<kSize>& x) {
  Lanes extreme = {}, largest = {};
  for (size_t i = 0; i < kSize; ++i) {
    const Lanes magnitude = Magnitude(x[i]);
    extreme = magnitude > largest ? x[i] : extreme;
    largest = magnitude > largest ? magnitude : largest;
  }
  return extreme;
}

// What scale = sum wqx / sum wqq needs. The weighted error of that scale is
// sum wxx - (sum wqx)^2 / sum wqq: the larger the quotient, the better the quants.
struct SymmetricSums {
  Lanes qx = {}, qq = {};
};

inline void AddTo(SymmetricSums& sums, Lanes x, Lanes quant) {
  const Lanes weight = x * x;
  sums.qx += weight * x * quant;
  sums.qq += weight * quant * quant;
}

template <int kHalf>
Lanes SymmetricQuant(Lanes value) {
  return Clamp(Nearest(value), static_cast<float>(-kHalf), static_cast<float>(kHalf - 1));
}

// The guesses put the extreme value at the quant -(half + 0.1 c), c = -9 .. 9, c = 0 first.
template <int kHalf, size_t kSize>
Lanes FitSymmetric(const Groups<kSize>& x) {
  const Lanes extreme = Extreme(x);
  Lanes scale = {}, best = {};
  for (int c = 0; c < 19; ++c) {
    const int offset = c == 0 ? 0 : c <= 9 ? c - 10 : c - 9;
    const Lanes inverse =
        -(static_cast<float>(kHalf) + 0.1f * static_cast<float>(offset)) / extreme;
    SymmetricSums sums;
    for (size_t i = 0; i < kSize; ++i) AddTo(sums, x[i], SymmetricQuant<kHalf>(inverse * x[i]));
    const auto better =
        c == 0 ? sums.qq != 0.0f : (sums.qq > 0.0f) & (sums.qx * sums.qx > best * sums.qq);
    const Lanes fit = sums.qx / sums.qq;
    scale = better ? fit : scale;
    best = better ? fit * sums.qx : best;
  }
  return Magnitude(extreme) < kZeroGroup ? Lanes{} : scale;
}

// With few quants it pays to look at each by itself: from plain rounding, up to five rounds in
// which every value in turn takes the quant that is nearest under the fit to all others, if that is
// an improvement.
template <int kHalf, size_t kSize>
Lanes FitSymmetricStepwise(const Groups<kSize>& x) {
  const Lanes extreme = Extreme(x);
  const Lanes inverse = static_cast<float>(-kHalf) / extreme;
  Groups<kSize> quants;
  SymmetricSums sums;
  for (size_t i = 0; i < kSize; ++i) {
    quants[i] = SymmetricQuant<kHalf>(inverse * x[i]);
    AddTo(sums, x[i], quants[i]);
  }
  for (int round = 0; round < 5; ++round) {
    for (size_t i = 0; i < kSize; ++i) {
      const Lanes weight = x[i] * x[i];
      SymmetricSums changed = {sums.qx - weight * x[i] * quants[i],
                               sums.qq - weight * quants[i] * quants[i]};
      const auto positive = changed.qx > 0.0f;
      const Lanes quant = SymmetricQuant<kHalf>(x[i] * changed.qq / changed.qx);
      AddTo(changed, x[i], quant);
      const auto better = positive & (quant != quants[i]) & (changed.qq > 0.0f) &
                          (changed.qx * changed.qx * sums.qq > sums.qx * sums.qx * changed.qq);
      quants[i] = better ? quant : quants[i];
      sums.qx = better ? changed.qx : sums.qx;
      sums.qq = better ? changed.qq : sums.qq;
    }
  }
  const auto fits = (sums.qq > 0.0f) & (Magnitude(extreme) >= kZeroGroup);
  return fits ? sums.qx / sums.qq : Lanes{};
}

}  // namespace
}  // namespace sluice::search
