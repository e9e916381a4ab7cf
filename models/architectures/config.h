// Hyperparameters of a decoder or an encoder, read from a model file's metadata and checked.
//
// Keys are those of the GGUF specification, prefixed with the architecture's name
// ("llama.block_count"); defaults are llama.cpp's.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "graph/encoder_interface.h"
#include "models/files/weight_source.h"

namespace sluice {

// Larger values are taken for damage. They also keep every product of sizes within int64_t.
struct ModelLimits {
  static constexpr int64_t kLayers = 1024;
  static constexpr int64_t kHidden = int64_t{1} << 20;
  static constexpr int64_t kHeads = int64_t{1} << 16;
  static constexpr int64_t kHeadLength = int64_t{1} << 16;
  static constexpr int64_t kFeedForward = int64_t{1} << 24;
  static constexpr int64_t kExperts = int64_t{1} << 12;
  static constexpr int64_t kContext = int64_t{1} << 30;
  // Token ids, positions and cache slots are i32 in the graph.
  static constexpr int64_t kIndex = std::numeric_limits<int32_t>::max();
};

struct RopeConfig {
  enum class Scaling { kNone, kLinear, kYarn };
  int64_t dims = 0;  // rotated dimensions of a head, even
  double base = 10000;
  Scaling scaling = Scaling::kNone;
  double factor = 1;             // 1 without scaling
  int64_t original_context = 0;  // of yarn: the context that the model was first trained for
  double attn_factor = 1;        // multiplies the rotated vectors
};

struct LayerConfig {
  int64_t heads = 0;
  int64_t kv_heads = 0;             // divides heads
  int64_t feed_forward = 0;         // of a dense feed-forward block; 0: the file does not say
  int64_t expert_feed_forward = 0;  // of one expert; 0 in a model without experts
};

// What only encoders have.
struct EncoderConfig {
  bool causal = false;      // tokens do not see those after them
  int64_t token_types = 0;  // kinds of segments that a token may be in; all are in the first
  double layer_norm_eps = 0;
  Pooling pooling = Pooling::kNone;
};

struct ModelConfig {
  std::string architecture;
  int64_t context_length = 0;
  int64_t hidden = 0;
  int64_t vocabulary = 0;    // tokens in tokenizer.ggml.tokens
  int64_t key_length = 0;    // of one head
  int64_t value_length = 0;  // of one head
  // Set if it is an encoder; then there are no rms_eps, rope and experts.
  std::optional<EncoderConfig> encoder;
  double rms_eps = 0;
  RopeConfig rope;
  int64_t experts = 0;  // 0: dense, otherwise at least 2
  int64_t experts_used = 0;
  std::vector<LayerConfig> layers;
};

// Errors name the file and the key, with the value got and what was expected; Unimplemented for a
// rope scaling that there is no op for. `warnings` receives keys that would change the maths and
// are not used. Takes time and memory in proportion to the layers, not to the vocabulary.
absl::StatusOr<ModelConfig> ReadConfig(const WeightSource& file,
                                       std::vector<std::string>* warnings);

}  // namespace sluice
