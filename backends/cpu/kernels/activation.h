// Activation functions of gated feed-forward blocks, shared by the elementwise and fused kernels.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

namespace sluice::cpu {

enum class Activation { kSilu, kGelu };

// The `act` attribute of a fused op.
inline Activation ActivationNamed(const std::string& name) {
  return name == "gelu" ? Activation::kGelu : Activation::kSilu;
}

inline float Silu(float x) { return x / (1.0f + std::exp(-x)); }

// The tanh approximation (Hendrycks and Gimpel 2016, eq. 2).
inline float GeluTanh(float x) {
  constexpr float kSqrt2OverPi = 0.7978845608028654f;
  return 0.5f * x * (1.0f + std::tanh(kSqrt2OverPi * x * (1.0f + 0.044715f * x * x)));
}

inline float GeluExact(float x) { return 0.5f * x * (1.0f + std::erf(x * 0.7071067811865476f)); }

// up[i] = act(gate[i]) * up[i]
inline void GateInPlace(Activation activation, const float* gate, float* up, int64_t n) {
  if (activation == Activation::kSilu) {
    for (int64_t i = 0; i < n; ++i) up[i] *= Silu(gate[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) up[i] *= GeluTanh(gate[i]);
  }
}

}  // namespace sluice::cpu
