#include "models/architectures/config.h"

#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/nearest_name.h"
#include "graph/status_macros.h"
#include "models/architectures/architecture.h"
#include "models/architectures/key_reader.h"

namespace sluice {
namespace {

absl::StatusOr<const Architecture*> ReadArchitecture(const WeightSource& file) {
  const KeyReader general(file, "general.");
  SLUICE_RETURN_IF_ERROR(general.Required("architecture").status());
  SLUICE_ASSIGN_OR_RETURN(const absl::string_view name, general.String("architecture", ""));
  if (const Architecture* found = FindArchitecture(name)) return found;
  const std::vector<absl::string_view> names = NamesOf(Architectures());
  return general.Error("architecture", "unknown architecture '", Printable(name), "', known are ",
                       absl::StrJoin(names, ", "), DidYouMean(name, names));
}

absl::StatusOr<int64_t> ReadVocabulary(const WeightSource& file) {
  const KeyReader tokenizer(file, "tokenizer.ggml.");
  SLUICE_ASSIGN_OR_RETURN(const MetadataValue* tokens, tokenizer.Required("tokens"));
  if (tokens->type() != MetadataType::kArray || tokens->element_type() != MetadataType::kString) {
    const bool array = tokens->type() == MetadataType::kArray;
    return tokenizer.Error("tokens", "wrong value type: expected an array of strings, got ",
                           array ? "an array of " : "",
                           Name(array ? tokens->element_type() : tokens->type()));
  }
  if (tokens->size() < 1 || tokens->size() > ModelLimits::kIndex) {
    return tokenizer.Error("tokens", "expected 1 to ", ModelLimits::kIndex, " tokens, got ",
                           tokens->size());
  }
  return tokens->size();
}

absl::Status ReadHeads(const KeyReader& keys, ModelConfig* config) {
  constexpr absl::string_view kHeadCount = "attention.head_count";
  const auto layers = static_cast<int64_t>(config->layers.size());
  SLUICE_RETURN_IF_ERROR(keys.Required(kHeadCount).status());
  const KeyRange range = {1, ModelLimits::kHeads};
  SLUICE_ASSIGN_OR_RETURN(const auto heads, keys.PerLayer(kHeadCount, layers, range));
  SLUICE_ASSIGN_OR_RETURN(auto kv_heads, keys.PerLayer("attention.head_count_kv", layers, range));
  if (kv_heads.empty()) kv_heads = heads;
  for (size_t i = 0; i < heads.size(); ++i) {
    if (heads[i] % kv_heads[i] != 0) {
      return keys.Error("attention.head_count_kv", "expected a divisor of the ", heads[i],
                        " heads of layer ", i, ", got ", kv_heads[i]);
    }
    config->layers[i].heads = heads[i];
    config->layers[i].kv_heads = kv_heads[i];
  }
  for (const auto& [key, length] : {std::pair("attention.key_length", &config->key_length),
                                    std::pair("attention.value_length", &config->value_length)}) {
    if (keys.Find(key) == nullptr && config->hidden % heads[0] != 0) {
      return keys.Error(kHeadCount, "expected a divisor of embedding_length (", config->hidden,
                        "), as ", key, " is absent; got ", heads[0]);
    }
    SLUICE_ASSIGN_OR_RETURN(
        *length, keys.Int(key, {1, ModelLimits::kHeadLength}, config->hidden / heads[0]));
  }
  return absl::OkStatus();
}

// The factor by which positions are stretched; 1 where the file asks for none.
absl::StatusOr<double> ReadRopeFactor(const KeyReader& keys) {
  for (const absl::string_view key : {"rope.scaling.factor", "rope.scale_linear"}) {
    const MetadataValue* value = keys.Find(key);
    if (value == nullptr) continue;
    const absl::StatusOr<double> factor = value->AsFloat();
    if (!factor.ok()) return keys.Error(key, factor.status().message());
    if (!std::isfinite(*factor) || *factor < 0) {
      return keys.Error(key, "expected a finite number, 0 or above, got ", *factor);
    }
    return *factor == 0 ? 1 : *factor;
  }
  return 1;
}

absl::Status ReadRopeScaling(const KeyReader& keys, int64_t context_length, RopeConfig* rope) {
  SLUICE_ASSIGN_OR_RETURN(rope->attn_factor, keys.Positive("rope.scaling.attn_factor", 1));
  SLUICE_ASSIGN_OR_RETURN(rope->factor, ReadRopeFactor(keys));
  SLUICE_ASSIGN_OR_RETURN(const absl::string_view type, keys.String("rope.scaling.type", "linear"));
  if (type == "longrope") {
    return absl::UnimplementedError(
        keys.About("rope.scaling.type", "'longrope' is not supported, only none, linear and yarn"));
  }
  if (type != "none" && type != "linear" && type != "yarn") {
    return keys.Error("rope.scaling.type", "expected none, linear or yarn, got '", Printable(type),
                      "'");
  }
  if (type == "none") rope->factor = 1;
  if (rope->factor == 1) return absl::OkStatus();  // either scaling by 1 changes nothing
  rope->scaling = type == "yarn" ? RopeConfig::Scaling::kYarn : RopeConfig::Scaling::kLinear;
  if (rope->scaling == RopeConfig::Scaling::kYarn) {
    SLUICE_ASSIGN_OR_RETURN(rope->original_context,
                            keys.Int("rope.scaling.original_context_length",
                                     {1, ModelLimits::kContext}, context_length));
  }
  return absl::OkStatus();
}

absl::StatusOr<RopeConfig> ReadRope(const KeyReader& keys, const ModelConfig& config) {
  constexpr absl::string_view kDims = "rope.dimension_count";
  RopeConfig rope;
  SLUICE_ASSIGN_OR_RETURN(rope.base, keys.Positive("rope.freq_base", 10000));
  SLUICE_ASSIGN_OR_RETURN(rope.dims,
                          keys.Int(kDims, {1, ModelLimits::kHeadLength}, config.key_length));
  if (rope.dims % 2 != 0 || rope.dims > config.key_length) {
    return keys.Error(kDims, "expected an even number up to the head's key length of ",
                      config.key_length, ", got ", rope.dims);
  }
  SLUICE_RETURN_IF_ERROR(ReadRopeScaling(keys, config.context_length, &rope));
  return rope;
}

absl::Status ReadExpertCounts(const KeyReader& keys, ModelConfig* config) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t count,
                          keys.Int("expert_count", {0, ModelLimits::kExperts}, 0));
  if (count <= 1) {  // dense; the other key must not contradict that
    return keys.Int("expert_used_count", {0, count}, 0).status();
  }
  config->experts = count;
  SLUICE_ASSIGN_OR_RETURN(config->experts_used, keys.Int("expert_used_count", {1, count}));
  return absl::OkStatus();
}

absl::Status ReadFeedForward(const KeyReader& keys, const Architecture& architecture,
                             ModelConfig* config) {
  constexpr absl::string_view kDense = "feed_forward_length";
  const auto layers = static_cast<int64_t>(config->layers.size());
  const KeyRange range = {1, ModelLimits::kFeedForward};
  SLUICE_ASSIGN_OR_RETURN(const auto dense, keys.PerLayer(kDense, layers, range));
  SLUICE_ASSIGN_OR_RETURN(const auto expert,
                          keys.PerLayer("expert_feed_forward_length", layers, range));
  const bool needs_dense = config->experts == 0 || expert.empty();
  if (needs_dense) SLUICE_RETURN_IF_ERROR(keys.Required(kDense).status());

  const int64_t shares = architecture.experts_share_feed_forward ? config->experts_used : 1;
  for (size_t i = 0; i < config->layers.size(); ++i) {
    LayerConfig& layer = config->layers[i];
    if (!dense.empty()) layer.feed_forward = dense[i];
    if (config->experts == 0) continue;
    if (!expert.empty()) {
      layer.expert_feed_forward = expert[i];
    } else if (dense[i] % shares == 0) {
      layer.expert_feed_forward = dense[i] / shares;
    } else {
      return keys.Error(kDense, "expected a multiple of expert_used_count (", shares,
                        "), as expert_feed_forward_length is absent; got ", dense[i]);
    }
  }
  return absl::OkStatus();
}

// The numbers of GGUF; others are errors.
absl::StatusOr<Pooling> ReadPooling(const KeyReader& keys) {
  constexpr absl::string_view kKey = "pooling_type";
  constexpr int64_t kRank = 4;
  SLUICE_ASSIGN_OR_RETURN(const int64_t type, keys.Int(kKey, {0, kRank}, 0));
  if (type == kRank) {
    return absl::UnimplementedError(
        keys.About(kKey, "a model that ranks texts is not supported, only ones that embed them (",
                   absl::StrJoin(kPoolingNames, ", "), ")"));
  }
  return static_cast<Pooling>(type);
}

// Whether it is causal has no default: a wrong guess would change the maths.
absl::StatusOr<EncoderConfig> ReadEncoder(const WeightSource& file, const KeyReader& keys) {
  EncoderConfig encoder;
  SLUICE_ASSIGN_OR_RETURN(encoder.layer_norm_eps, keys.Positive("attention.layer_norm_epsilon"));
  SLUICE_ASSIGN_OR_RETURN(encoder.causal, keys.Bool("attention.causal"));
  SLUICE_ASSIGN_OR_RETURN(encoder.pooling, ReadPooling(keys));
  const KeyReader tokenizer(file, "tokenizer.ggml.");
  SLUICE_ASSIGN_OR_RETURN(encoder.token_types,
                          tokenizer.Int("token_type_count", {1, ModelLimits::kHidden}));
  return encoder;
}

// The scale that attention uses anyway may also be written down. Files hold it as an f32.
bool IsDefaultAttentionScale(double value, const ModelConfig& config) {
  return std::abs(value * std::sqrt(static_cast<double>(config.key_length)) - 1) < 1e-6;
}

// A key that some architecture's maths depends on. One that the file has and this model's reading
// does not ask for is told, unless its value changes nothing.
struct KnownKey {
  absl::string_view key;
  std::array<double, 2> neutral;  // values that change nothing
  // More of them, for what depends on the model. Null: none.
  bool (*is_neutral)(double value, const ModelConfig& config) = nullptr;
};

constexpr KnownKey kKnownKeys[] = {
    {"attention.scale", {0, 0}, IsDefaultAttentionScale},
    {"attention.sliding_window", {0, 0}},
    {"attention.causal", {1, 1}},
    {"attention.clamp_kqv", {0, 0}},
    {"attention.max_alibi_bias", {0, 0}},
    {"attn_logit_softcapping", {0, 0}},
    {"final_logit_softcapping", {0, 0}},
    {"logit_scale", {0, 1}},
    {"residual_scale", {0, 1}},
    {"embedding_scale", {0, 1}},
    {"use_parallel_residual", {0, 0}},
    {"expert_gating_func", {0, 1}},  // 1: softmax
    {"expert_group_count", {0, 1}},
    {"expert_shared_count", {0, 0}},
    {"expert_weights_norm", {1, 1}},  // weights are always renormalised
    {"expert_weights_scale", {0, 1}},
    {"rope.dimension_sections", {0, 0}},
    {"rope.scaling.yarn_attn_factor", {1, 1}},
    {"rope.scaling.yarn_beta_fast", {32, 32}},
    {"rope.scaling.yarn_beta_slow", {1, 1}},
    {"rope.scaling.yarn_ext_factor", {-1, 1}},  // -1: 1 with yarn, 0 without
    {"rope.scaling.yarn_log_multiplier", {0, 0}},
};

std::optional<double> AsNumber(const MetadataValue& value) {
  if (const auto number = value.AsInt(); number.ok()) return static_cast<double>(*number);
  if (const auto number = value.AsFloat(); number.ok()) return *number;
  if (const auto flag = value.AsBool(); flag.ok()) return *flag ? 1 : 0;
  return std::nullopt;
}

bool IsNeutral(const KnownKey& known, std::optional<double> number, const ModelConfig& config) {
  if (!number.has_value()) return false;
  return *number == known.neutral[0] || *number == known.neutral[1] ||
         (known.is_neutral != nullptr && known.is_neutral(*number, config));
}

// After all reading.
void WarnOfUnreadKeys(const KeyReader& keys, const ModelConfig& config,
                      std::vector<std::string>* warnings) {
  for (const KnownKey& known : kKnownKeys) {
    const MetadataValue* value = keys.FindUnread(known.key);
    if (value == nullptr) continue;
    const std::optional<double> number = AsNumber(*value);
    if (IsNeutral(known, number, config)) continue;
    warnings->push_back(keys.About(
        known.key, number.has_value() ? absl::StrCat("the value ", *number) : "its value",
        " is ignored; results may differ from what the model's author meant"));
  }
}

}  // namespace

absl::StatusOr<ModelConfig> ReadConfig(const WeightSource& file,
                                       std::vector<std::string>* warnings) {
  SLUICE_ASSIGN_OR_RETURN(const Architecture* architecture, ReadArchitecture(file));
  const KeyReader keys(file, absl::StrCat(architecture->name, "."));
  ModelConfig config;
  config.architecture = std::string(architecture->name);
  SLUICE_ASSIGN_OR_RETURN(const int64_t layers, keys.Int("block_count", {1, ModelLimits::kLayers}));
  config.layers.resize(static_cast<size_t>(layers));
  SLUICE_ASSIGN_OR_RETURN(config.context_length,
                          keys.Int("context_length", {1, ModelLimits::kContext}));
  SLUICE_ASSIGN_OR_RETURN(config.hidden, keys.Int("embedding_length", {1, ModelLimits::kHidden}));
  SLUICE_ASSIGN_OR_RETURN(config.vocabulary, ReadVocabulary(file));
  SLUICE_RETURN_IF_ERROR(ReadHeads(keys, &config));
  if (architecture->is_encoder) {
    SLUICE_ASSIGN_OR_RETURN(config.encoder, ReadEncoder(file, keys));
  } else {
    SLUICE_ASSIGN_OR_RETURN(config.rms_eps, keys.Positive("attention.layer_norm_rms_epsilon"));
    SLUICE_ASSIGN_OR_RETURN(config.rope, ReadRope(keys, config));
    SLUICE_RETURN_IF_ERROR(ReadExpertCounts(keys, &config));
  }
  SLUICE_RETURN_IF_ERROR(ReadFeedForward(keys, *architecture, &config));
  WarnOfUnreadKeys(keys, config, warnings);
  return config;
}

}  // namespace sluice
