// The known model architectures. Each is one file here that defines its record, and one line in
// registry.cc.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/graph.h"

namespace sluice {

class DecoderLayer;

struct Architecture {
  absl::string_view name;  // general.architecture

  // Emits one layer: x f32[tokens,hidden] -> f32[tokens,hidden].
  Value* (*layer)(DecoderLayer& layer, Value* x);

  // Tokens see those after them, too, and texts become vectors: no logits.
  bool is_encoder = false;

  // Without expert_feed_forward_length, an expert's feed-forward length is feed_forward_length,
  // or that divided by the number of experts used.
  bool experts_share_feed_forward = false;
};

extern const Architecture kBert;
extern const Architecture kLlama;
extern const Architecture kQwen2;
extern const Architecture kQwen3;
extern const Architecture kQwen3Moe;

absl::Span<const Architecture* const> Architectures();
const Architecture* FindArchitecture(absl::string_view name);  // nullptr if unknown

}  // namespace sluice
