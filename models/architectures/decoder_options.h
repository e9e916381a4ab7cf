// What the graph of a decoder or an encoder is built for.
#pragma once

#include <cstdint>
#include <optional>

#include "graph/dtype.h"
#include "graph/encoder_interface.h"

namespace sluice {

// The bounds are those of graph/decoder_interface.h.
struct DecoderOptions {
  int64_t max_tokens = 512;  // bound of `tokens` and `outputs`
  int64_t max_seqs = 1;
  int64_t context = 0;      // longest sequence, for the bound of `table`; 0: the model's own
  int64_t block_size = 16;  // tokens of a cache block
  // Cache blocks in the pool; 0: enough for max_seqs full sequences, in an encoder for one step.
  int64_t blocks = 0;
  DType k_type = DType::kF16;  // of a decoder; the cache of an encoder, which is small, is f32
  DType v_type = DType::kF16;
  std::optional<Pooling> pooling = {};  // of an encoder; left out: the model's own
};

// The bound of `table`, once `context` is set.
inline int64_t BlocksPerSequence(const DecoderOptions& options) {
  return (options.context + options.block_size - 1) / options.block_size;
}

}  // namespace sluice
