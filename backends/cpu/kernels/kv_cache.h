// A paged KV cache as kernels see it: [blocks,heads,block_size,dim], of plain floats or q8_0.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "backends/cpu/kernels/vector_isa.h"
#include "graph/formats/quantize.h"
#include "graph/graph.h"
#include "graph/op_call.h"
#include "graph/tensor.h"

namespace sluice::cpu {

struct Cache {
  Cache(const TensorView& view, const VectorMath& math)
      : data(view.data),
        blocks(view.dim(0)),
        heads(view.dim(1)),
        block_size(view.dim(2)),
        dim(view.dim(3)),
        row_bytes(view.row_bytes()),
        encode(view.dtype == DType::kF16 ? math.f16_from_f32 : QuantizerFor(view.dtype)) {}

  std::byte* Row(int64_t block, int64_t head, int64_t offset) const {
    return data + ((block * heads + head) * block_size + offset) * row_bytes;
  }
  // Stores one head's row of the token in `slot`.
  void Store(int32_t slot, int64_t head, const float* row) const {
    encode(row, dim, Row(slot / block_size, head, slot % block_size));
  }
  // Stores the rows [heads,dim] of the token in `slot`.
  void StoreToken(int32_t slot, const float* rows) const {
    for (int64_t h = 0; h < heads; ++h) Store(slot, h, rows + h * dim);
  }

  std::byte* data;
  int64_t blocks, heads, block_size, dim, row_bytes;
  QuantizeFn encode;
};

// OutOfRange for the first of the slots that is not in the cache.
inline absl::Status CheckSlots(const TensorView& slots, const Cache& cache) {
  const int64_t limit = cache.blocks * cache.block_size;
  for (int64_t t = 0; t < slots.elements(); ++t) {
    const int32_t slot = slots.i32()[t];
    if (slot < 0 || slot >= limit) {
      return absl::OutOfRangeError(
          absl::StrCat("slot ", slot, " of token ", t, " is not in 0 to ", limit - 1));
    }
  }
  return absl::OkStatus();
}

// A Kernel::accepts: whether the node's caches can be used.
template <template <typename> class Call>
absl::Status AcceptsCaches(const Node& node, const proto::DeviceCaps&) {
  const auto in = As<Call>(node);
  for (const Value* cache : {in.k_cache, in.v_cache}) {
    const DType dtype = cache->type().dtype;
    if (!IsPlainFloat(dtype) && dtype != DType::kQ8_0) {
      return absl::UnimplementedError(absl::StrCat("the cache ", cache->ref(), " is ", Name(dtype),
                                                   ", expected f32, f16, bf16 or q8_0"));
    }
  }
  return absl::OkStatus();
}

}  // namespace sluice::cpu
