// Operands of the ops in norm_rope.cc.
#pragma once

#include "graph/op_call.h"

namespace sluice {

template <typename T>
struct RmsNormCall {
  SLUICE_OPERANDS(x, weight);
};

template <typename T>
struct LayerNormCall {
  SLUICE_OPERANDS(x, weight, bias);
};

template <typename T>
struct AddRmsNormCall {
  SLUICE_OPERANDS(a, b, weight);
};

template <typename T>
struct RopeCall {
  SLUICE_OPERANDS(x, positions, freq_factors);
};

template <typename T>
struct QkNormRopeCall {
  SLUICE_OPERANDS(q, k, positions, q_norm, k_norm, freq_factors);
};

template <typename T>
struct QkNormRopeAppendCall {
  SLUICE_OPERANDS(k_cache, v_cache, q, k, v, positions, slots, q_norm, k_norm, freq_factors);
};

}  // namespace sluice
