// Shapes of well-known models: enough to write files with their exact tensors, and nothing of their
// weights or vocabularies. For tests, benchmarks, and to plan for a model before downloading it.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

struct NamedToken {
  int32_t id;
  absl::string_view text;
};

// The kind and the control tokens of a vocabulary; the other tokens are made up (see
// synthetic_vocabulary.h).
struct VocabularyShape {
  absl::string_view model;          // tokenizer.ggml.model: gpt2, llama
  absl::string_view pre_tokenizer;  // tokenizer.ggml.pre; empty for llama
  int32_t bos, eos;
  bool adds_bos;
  absl::Span<const NamedToken> control;  // beyond those that every vocabulary of the kind has
};

// Figures are those of the model's public config.json, whose address is in `source`.
struct ModelShape {
  absl::string_view name;          // "qwen3-0.6b", for command lines
  absl::string_view title;         // "Qwen3-0.6B", for general.name
  absl::string_view architecture;  // general.architecture
  absl::string_view source;
  int64_t parameters;  // as published, with a tied output counted once
  int64_t layers;
  int64_t hidden;
  int64_t feed_forward;
  int64_t heads, kv_heads, head_length;
  int64_t vocabulary;
  int64_t context;
  double rope_base;
  double rms_eps;
  bool tied_output;
  bool head_norms;    // RMSNorm of every query and key head
  bool rope_factors;  // Llama 3's divisors of the rotation frequencies
  int64_t experts = 0, experts_used = 0, expert_feed_forward = 0;  // 0: dense
  const VocabularyShape* tokens = nullptr;
};

absl::Span<const ModelShape> ModelShapes();
const ModelShape* FindModelShape(absl::string_view name);  // nullptr if unknown

}  // namespace sluice
