// What the ops that write or read a paged KV cache share.
#pragma once

#include "absl/status/status.h"
#include "graph/op_call.h"
#include "graph/ops/shape_check.h"

namespace sluice {

// Docs of the operands k_cache and v_cache.
inline constexpr char kKCacheDoc[] = "state<f32|f16|bf16|q8_0[blocks,Hkv,block_size,D]>";
inline constexpr char kVCacheDoc[] =
    "state<f32|f16|bf16|q8_0[blocks,Hkv,block_size,Dv]>, its dtype its own";
OperandSpec SlotsOperand();

// Checks the bindings of those docs: only the number of blocks may vary from run to run.
absl::Status CheckCacheDims(const OpCall& call, const DimBindings& dims);

}  // namespace sluice
