// The contract between model builders and the runtime: which inputs, symbols and outputs the graph
// of a decoder has. The runtime knows this and nothing else of a model.
//
// One graph serves prefill, decode and mixed batches: the tokens of all sequences of a step lie in
// one flat `tokens` dimension.
#pragma once

#include "absl/strings/string_view.h"

namespace sluice::decoder {

// Symbols.
inline constexpr absl::string_view kTokens = "tokens";    // tokens of this step
inline constexpr absl::string_view kOutputs = "outputs";  // rows whose logits are wanted
inline constexpr absl::string_view kSeqs = "seqs";        // sequences of this step
inline constexpr absl::string_view kTable = "table";      // cache blocks per sequence, at most
inline constexpr absl::string_view kBlocks = "blocks";    // cache blocks in the pool

// Inputs, all i32.
inline constexpr absl::string_view kTokenIds = "token_ids";   // [tokens]
inline constexpr absl::string_view kPositions = "positions";  // [tokens], from 0 in its sequence
inline constexpr absl::string_view kSeqIds = "seq_ids";       // [tokens], row of block_tables
inline constexpr absl::string_view kSlots = "slots";  // [tokens], block * block_size + offset
inline constexpr absl::string_view kBlockTables = "block_tables";  // [seqs,table]
inline constexpr absl::string_view kContextLens = "context_lens";  // [seqs], after this step
inline constexpr absl::string_view kOutputRows = "output_rows";    // [outputs], indices into tokens

// Outputs: the first one is logits, f32[outputs,vocabulary].
// States: the key and value caches, state<T[blocks,kv_heads,block_size,head_dim]>, one of each per
// layer; block b of every cache belongs to the same sequence.

}  // namespace sluice::decoder
