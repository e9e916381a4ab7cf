// Hyperparameters of a decoder, read from a model file's metadata and checked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/gguf.h"

namespace sluice {

struct RopeConfig {
  enum class Scaling { kNone, kLinear, kYarn };
  int64_t dims = 0;  // rotated dimensions of a head
  double base = 10000;
  Scaling scaling = Scaling::kNone;
  double factor = 1;
  int64_t original_context = 0;
  double attn_factor = 1;
};

struct LayerConfig {
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t feed_forward = 0;  // of a dense feed-forward block
};

struct ModelConfig {
  std::string architecture;
  int64_t context_length = 0;
  int64_t hidden = 0;
  int64_t vocabulary = 0;
  int64_t key_length = 0;    // of one head
  int64_t value_length = 0;  // of one head
  double rms_eps = 0;
  RopeConfig rope;
  int64_t experts = 0;  // 0: dense
  int64_t experts_used = 0;
  int64_t expert_feed_forward = 0;
  std::vector<LayerConfig> layers;
};

// Errors name the file and the key, with the value got and what was expected. `warnings` receives
// keys that would change the maths and are not used.
absl::StatusOr<ModelConfig> ReadConfig(const GgufFile& file, std::vector<std::string>* warnings);

}  // namespace sluice
