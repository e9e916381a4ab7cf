// LoRA adapters in GGUF files: small changes to some of a model's weights.
//
// Such a file has the keys general.type = "adapter", adapter.type = "lora", general.architecture as
// the model has it, and adapter.lora.alpha. For each weight that it changes it has two tensors,
// named after the weight's own: "blk.0.attn_q.weight.lora_a" and "....lora_b", of the shapes that
// LowRankUpdate tells. The product of both counts alpha / rank times, or once if alpha is 0.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "graph/graph.h"
#include "graph/low_rank_update.h"
#include "graph/weights.h"
#include "models/files/weight_source.h"

namespace sluice {

struct LoraAdapter {
  std::vector<LowRankUpdate> updates;
  WeightTable weights;                // their A and B, which stay in the file
  std::vector<std::string> warnings;  // tensors without effect
};

// Checks an adapter against a model's graph as built, whose name is the architecture. `number`
// (from 1) keeps the names of several adapters apart. A change to a fused tensor (attn_qkv,
// ffn_gate_up_exps) becomes one to each of the weights that the model makes of it.
//
// Errors name the file and the key or tensor: no adapter, or for another architecture; one that
// waits for certain tokens (adapter.alora.*); a number that is not finite; half a pair; a weight
// that the model does not have, or that is changed twice; a wrong shape. Unimplemented: a format
// without a decoder, and a token table that is the output matrix, too, since there B A would have
// to be transposed.
absl::StatusOr<LoraAdapter> ReadLora(const WeightSource& file, const Graph& model, int number,
                                     double scale);

}  // namespace sluice
