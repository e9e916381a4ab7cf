// What a decoder's graph is built for.
#pragma once

#include <cstdint>

#include "graph/dtype.h"

namespace sluice {

// The bounds are those of graph/decoder_interface.h.
struct DecoderOptions {
  int64_t max_tokens = 512;  // bound of `tokens` and `outputs`
  int64_t max_seqs = 1;
  int64_t context = 0;      // longest sequence, for the bound of `table`; 0: the model's own
  int64_t block_size = 16;  // tokens of a cache block
  int64_t blocks = 0;       // cache blocks in the pool; 0: enough for max_seqs full sequences
  DType k_type = DType::kF16;
  DType v_type = DType::kF16;
};

// The bound of `table`, once `context` is set.
inline int64_t BlocksPerSequence(const DecoderOptions& options) {
  return (options.context + options.block_size - 1) / options.block_size;
}

}  // namespace sluice
