// Operands of the ops in moe.cc and moe_tiles.cc.
#pragma once

#include "graph/op_call.h"

namespace sluice {

template <typename T>
struct TopkSoftmaxCall {
  SLUICE_OPERANDS(logits, bias);
};

template <typename T>
struct RouterTopkCall {
  SLUICE_OPERANDS(x, weight, logit_bias, bias);
};

template <typename T>
struct MoeGatherCall {
  SLUICE_OPERANDS(x, ids);
};

template <typename T>
struct ExpertTilesCall {
  SLUICE_OPERANDS(offsets);
};

template <typename T>
struct ExpertMatmulCall {
  SLUICE_OPERANDS(rows, weight, offsets, bias, tiles);
};

template <typename T>
struct ExpertGluCall {
  SLUICE_OPERANDS(rows, gate, up, offsets, tiles);
};

template <typename T>
struct IndexedExpertMatmulCall {
  SLUICE_OPERANDS(x, weight, ids, bias);
};

template <typename T>
struct IndexedExpertGluCall {
  SLUICE_OPERANDS(x, gate, up, ids);
};

template <typename T>
struct IndexedExpertSumCall {
  SLUICE_OPERANDS(x, weight, ids, scale, residual, bias);
};

template <typename T>
struct ScaledAddCall {
  SLUICE_OPERANDS(rows, weights, row_of, residual);
};

}  // namespace sluice
