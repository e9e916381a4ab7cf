// Operands of the ops in linear.cc.
#pragma once

#include "graph/op_call.h"

namespace sluice {

template <typename T>
struct EmbeddingCall {
  SLUICE_OPERANDS(table, ids);
};

template <typename T>
struct MatmulCall {
  SLUICE_OPERANDS(x, weight, bias);
};

template <typename T>
struct QkvMatmulCall {
  SLUICE_OPERANDS(x, q_weight, k_weight, v_weight, q_bias, k_bias, v_bias);
};

template <typename T>
struct GluCall {
  SLUICE_OPERANDS(x, gate, up, gate_bias, up_bias);
};

}  // namespace sluice
