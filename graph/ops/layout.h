// Operands of the ops in layout.cc.
#pragma once

#include "graph/op_call.h"
#include "graph/ops/elementwise.h"  // UnaryCall: slice, reshape, copy, cast

namespace sluice {

template <typename T>
struct GatherRowsCall {
  SLUICE_OPERANDS(x, rows);
};

}  // namespace sluice
