// Activation functions of gated feed-forward blocks, for the kernels that have one inside.
#pragma once

#include <cstdint>
#include <string>

#include "backends/cpu/kernels/vector_isa.h"

namespace sluice::cpu {

// up[i] = act(gate[i]) * up[i]
using GateFunction = void (*)(const float* gate, int64_t n, float* up);

// By the `act` attribute of a fused op.
inline GateFunction GateNamed(const std::string& act, const VectorMath& math) {
  return act == "gelu" ? math.gelu_tanh_gate : math.silu_gate;
}

}  // namespace sluice::cpu
