// Operands of the ops in elementwise.cc.
#pragma once

#include "graph/op_call.h"

namespace sluice {

// add, mul
template <typename T>
struct BinaryCall {
  SLUICE_OPERANDS(a, b);
};

// silu, gelu, scale, softmax, and every other op of one operand
template <typename T>
struct UnaryCall {
  SLUICE_OPERANDS(x);
};

template <typename T>
struct MeanPoolCall {
  SLUICE_OPERANDS(x, seq_ids, lens);
};

}  // namespace sluice
