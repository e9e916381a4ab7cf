#include "models/weights/quantisation_mix.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace sluice {
namespace {

constexpr QuantisationMix kMixes[] = {
    {"F32", 0, DType::kF32},      {"F16", 1, DType::kF16},      {"BF16", 32, DType::kBF16},
    {"Q8_0", 7, DType::kQ8_0},    {"Q4_0", 2, DType::kQ4_0},    {"Q4_1", 3, DType::kQ4_1},
    {"Q5_0", 8, DType::kQ5_0},    {"Q5_1", 9, DType::kQ5_1},    {"Q2_K", 10, DType::kQ2_K},
    {"Q3_K_M", 12, DType::kQ3_K}, {"Q4_K_S", 14, DType::kQ4_K}, {"Q4_K_M", 15, DType::kQ4_K},
    {"Q5_K_S", 16, DType::kQ5_K}, {"Q5_K_M", 17, DType::kQ5_K}, {"Q6_K", 18, DType::kQ6_K},
};

// Some layers matter more than others, or are cheap to improve.
enum class Layers : uint8_t {
  kNone,
  kFirstTwo,
  kFirstFour,
  kFirstSixteenth,
  kFirstEighth,
  kSpread,            // the first and last eighth, and every third between
  kAllIfManyGrouped,  // all, in models where four or more query heads share a value head
};

struct LayerRule {
  DType some;  // in `layers`
  Layers layers;
  DType others;
};

// Where a mix differs from its main format. Everything else, by name, is in DTypeOfRole().
struct MixRules {
  absl::string_view mix;
  LayerRule attention_value;
  LayerRule feed_forward_down;
  DType attention_output;           // of dense models
  DType attention_output_of_eight;  // of models with eight experts
};

constexpr DType kQ3 = DType::kQ3_K, kQ4 = DType::kQ4_K, kQ5 = DType::kQ5_K, kQ6 = DType::kQ6_K;

constexpr MixRules kRules[] = {
    {"Q2_K", {kQ4, Layers::kAllIfManyGrouped, kQ3}, {kQ3, Layers::kNone, kQ3}, kQ3, kQ5},
    {"Q3_K_M", {kQ5, Layers::kFirstTwo, kQ4}, {kQ5, Layers::kFirstSixteenth, kQ4}, kQ4, kQ5},
    {"Q4_K_S", {kQ5, Layers::kFirstFour, kQ4}, {kQ5, Layers::kFirstEighth, kQ4}, kQ4, kQ5},
    {"Q4_K_M", {kQ6, Layers::kSpread, kQ4}, {kQ6, Layers::kSpread, kQ4}, kQ4, kQ5},
    {"Q5_K_M", {kQ6, Layers::kSpread, kQ5}, {kQ6, Layers::kSpread, kQ5}, kQ5, kQ5},
};

MixRules RulesOf(const QuantisationMix& mix) {
  for (const MixRules& rules : kRules) {
    if (rules.mix == mix.name) return rules;
  }
  const LayerRule plain = {mix.dtype, Layers::kNone, mix.dtype};
  return {mix.name, plain, plain, mix.dtype, mix.dtype};
}

bool Contains(Layers layers, int64_t layer, const MixModel& model) {
  const int64_t count = model.layers;
  switch (layers) {
    case Layers::kNone:
      return false;
    case Layers::kFirstTwo:
      return layer < 2;
    case Layers::kFirstFour:
      return layer < 4;
    case Layers::kFirstSixteenth:
      return layer < count / 16;
    case Layers::kFirstEighth:
      return layer < count / 8;
    case Layers::kSpread:
      return layer < count / 8 || layer >= 7 * count / 8 || (layer - count / 8) % 3 == 2;
    case Layers::kAllIfManyGrouped:
      return model.kv_heads > 0 && model.heads / model.kv_heads >= 4;
  }
  return false;
}

// N of "blk.N.", 0 elsewhere.
int64_t LayerOf(absl::string_view name) {
  constexpr absl::string_view kPrefix = "blk.";
  int64_t layer = 0;
  if (!absl::StartsWith(name, kPrefix)) return layer;
  name.remove_prefix(kPrefix.size());
  return absl::SimpleAtoi(name.substr(0, name.find('.')), &layer) ? layer : 0;
}

enum class TensorRole : uint8_t {
  kEmbedding,
  kOutput,
  kAttentionKey,
  kAttentionValue,  // fused projections, too
  kAttentionOutput,
  kFeedForwardDown,  // of experts, too
  kOther,
};

TensorRole RoleOf(absl::string_view name) {
  const auto has = [name](absl::string_view part) { return absl::StrContains(name, part); };
  if (name == "token_embd.weight") return TensorRole::kEmbedding;
  if (name == "output.weight") return TensorRole::kOutput;
  if (has("attn_k.weight")) return TensorRole::kAttentionKey;
  if (has("attn_v.weight") || has("attn_qkv.weight")) return TensorRole::kAttentionValue;
  if (has("attn_output.weight")) return TensorRole::kAttentionOutput;
  return has("ffn_down") ? TensorRole::kFeedForwardDown : TensorRole::kOther;
}

// The two families that have a model of 70 or 72 billion parameters. Eight query heads share a
// value head there, so that more bits for values cost next to nothing.
bool IsSeventyBillion(const MixModel& model) {
  return model.layers == 80 && model.heads != model.kv_heads &&
         (model.architecture == "llama" || model.architecture == "qwen2");
}

DType ValueDType(const LayerRule& rule, int64_t layer, const MixModel& model) {
  if (model.experts == 8) return DType::kQ8_0;  // attention is a small part of such a file
  const DType dtype = Contains(rule.layers, layer, model) ? rule.some : rule.others;
  const bool small = dtype == DType::kQ3_K || dtype == DType::kQ4_K;
  return small && IsSeventyBillion(model) ? DType::kQ5_K : dtype;
}

DType DTypeOfRole(const QuantisationMix& mix, const MixModel& model, TensorRole role,
                  int64_t layer) {
  const MixRules rules = RulesOf(mix);
  const DType output = mix.dtype == DType::kQ8_0 ? DType::kQ8_0 : DType::kQ6_K;
  const LayerRule& down = rules.feed_forward_down;
  switch (role) {
    case TensorRole::kOutput:
      return output;
    case TensorRole::kEmbedding:
      return model.tied_output ? output : mix.dtype;
    case TensorRole::kAttentionKey:
      return model.experts == 8 ? DType::kQ8_0 : mix.dtype;
    case TensorRole::kAttentionValue:
      return ValueDType(rules.attention_value, layer, model);
    case TensorRole::kAttentionOutput:
      return model.experts == 8 ? rules.attention_output_of_eight : rules.attention_output;
    case TensorRole::kFeedForwardDown:
      return Contains(down.layers, layer, model) ? down.some : down.others;
    case TensorRole::kOther:
      break;
  }
  return mix.dtype;
}

bool Fits(DType dtype, int64_t columns) { return columns % Info(dtype).elements_per_block == 0; }

}  // namespace

absl::Span<const QuantisationMix> QuantisationMixes() { return kMixes; }

const QuantisationMix* FindQuantisationMix(absl::string_view name) {
  for (const QuantisationMix& mix : kMixes) {
    if (mix.name == name) return &mix;
  }
  return nullptr;
}

bool IsQuantisable(absl::string_view name, absl::Span<const int64_t> shape) {
  const bool is_matrix =
      std::any_of(shape.begin(), shape.end() - 1, [](int64_t outer) { return outer > 1; });
  return is_matrix && absl::EndsWith(name, "weight") && !absl::StrContains(name, "_norm.weight") &&
         !absl::StrContains(name, "ffn_gate_inp.weight") && name != "position_embd.weight" &&
         name != "token_types.weight";
}

DType FittingDType(DType dtype, int64_t columns) {
  if (Fits(dtype, columns)) return dtype;
  DType smaller_blocks = DType::kF16;
  if (dtype == DType::kQ2_K || dtype == DType::kQ3_K) smaller_blocks = DType::kQ4_0;
  if (dtype == DType::kQ4_K) smaller_blocks = DType::kQ5_0;
  if (dtype == DType::kQ5_K) smaller_blocks = DType::kQ5_1;
  if (dtype == DType::kQ6_K) smaller_blocks = DType::kQ8_0;
  return Fits(smaller_blocks, columns) ? smaller_blocks : DType::kF16;
}

DType DTypeInMix(const QuantisationMix& mix, const MixModel& model, absl::string_view name,
                 absl::Span<const int64_t> shape) {
  if (!IsBlockFormat(mix.dtype)) return mix.dtype;
  const DType dtype = DTypeOfRole(mix, model, RoleOf(name), LayerOf(name));
  return FittingDType(dtype, shape.back());
}

}  // namespace sluice
