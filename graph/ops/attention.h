// Operands of the ops in attention.cc.
#pragma once

#include "graph/op_call.h"

namespace sluice {

template <typename T>
struct KvAppendCall {
  SLUICE_OPERANDS(k_cache, v_cache, k, v, slots);
};

template <typename T>
struct AttentionCall {
  SLUICE_OPERANDS(q, k_cache, v_cache, positions, seq_ids, block_tables, context_lens);
};

}  // namespace sluice
