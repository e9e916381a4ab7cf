#include "models/architectures/decoder_blocks.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "graph/decoder_interface.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

Dim Tokens() { return Dim::Symbol(decoder::kTokens); }

absl::Status CheckOption(absl::string_view name, int64_t value, int64_t max) {
  if (value >= 1 && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("option ", name, ": expected 1 to ", max, ", got ", value));
}

// What `blocks` is if nobody says. An encoder keeps no text after its step: the tokens of one
// step are all, and each sequence may have a block that is not full.
int64_t DefaultBlocks(const DecoderOptions& options, const ModelConfig& config) {
  if (config.encoder.has_value()) {
    return options.max_tokens / options.block_size + options.max_seqs;
  }
  return options.max_seqs * BlocksPerSequence(options);
}

}  // namespace

WeightSpec BiasOf(WeightSpec weight) {
  absl::StrAppend(&weight.name, ".bias");
  weight.shape.pop_back();
  return weight;
}

absl::StatusOr<DecoderOptions> ResolveOptions(DecoderOptions options, const ModelConfig& config) {
  constexpr int64_t kMax = ModelLimits::kIndex;
  if (options.context == 0) options.context = config.context_length;
  SLUICE_RETURN_IF_ERROR(CheckOption("max_tokens", options.max_tokens, kMax));
  SLUICE_RETURN_IF_ERROR(CheckOption("max_seqs", options.max_seqs, kMax));
  SLUICE_RETURN_IF_ERROR(CheckOption("context", options.context, ModelLimits::kContext));
  SLUICE_RETURN_IF_ERROR(CheckOption("block_size", options.block_size, kMax));
  if (options.blocks == 0) options.blocks = DefaultBlocks(options, config);
  // The slot of a token, block * block_size + offset, is an i32.
  SLUICE_RETURN_IF_ERROR(CheckOption("blocks", options.blocks, kMax / options.block_size));
  return options;
}

DecoderBuilder::DecoderBuilder(const ModelConfig& config, const DecoderOptions& options,
                               WeightDirectory& weights)
    : config_(config), options_(options), weights_(weights), graph_(config.architecture) {
  graph_.Attr("block_size", options.block_size);
  graph_.Attr("context", config.context_length);
  graph_.Attr("hidden", config.hidden);
  graph_.Attr("layers", static_cast<int64_t>(config.layers.size()));
  graph_.Attr("vocabulary", config.vocabulary);
  if (config.experts > 0) {
    graph_.Attr("experts", config.experts);
    graph_.Attr("experts_used", config.experts_used);
  }
  AddSymbols();
  AddInputs();
}

void DecoderBuilder::AddSymbols() {
  graph_.Symbol(decoder::kTokens, options_.max_tokens);
  graph_.Symbol(decoder::kOutputs, options_.max_tokens);
  graph_.Symbol(decoder::kSeqs, options_.max_seqs);
  graph_.Symbol(decoder::kTable, BlocksPerSequence(options_));
  graph_.Symbol(decoder::kBlocks, options_.blocks);
}

void DecoderBuilder::AddInputs() {
  const auto input = [this](absl::string_view name, std::initializer_list<absl::string_view> dims) {
    TensorType type = {DType::kI32, {}};
    for (const absl::string_view dim : dims) type.shape.push_back(Dim::Symbol(dim));
    return graph_.Input(name, std::move(type));
  };
  inputs_ = {
      .token_ids = input(decoder::kTokenIds, {decoder::kTokens}),
      .positions = input(decoder::kPositions, {decoder::kTokens}),
      .seq_ids = input(decoder::kSeqIds, {decoder::kTokens}),
      .slots = input(decoder::kSlots, {decoder::kTokens}),
      .block_tables = input(decoder::kBlockTables, {decoder::kSeqs, decoder::kTable}),
      .context_lens = input(decoder::kContextLens, {decoder::kSeqs}),
      .output_rows = input(decoder::kOutputRows, {decoder::kOutputs}),
  };
}

Value* DecoderBuilder::Weight(const WeightSpec& spec) {
  if (const auto it = bound_.find(spec.name); it != bound_.end()) return it->second;
  absl::StatusOr<TensorType> type = weights_.Bind(spec);
  if (!type.ok()) {
    Fail(type.status());
    return nullptr;
  }
  return bound_[spec.name] = graph_.Weight(spec.name, *std::move(type));
}

Value* DecoderBuilder::RmsNorm(absl::string_view name, Value* x, const WeightSpec& weight) {
  return graph_.Op(name, "rms_norm", {x, Weight(weight)}, {{"eps", config_.rms_eps}});
}

Value* DecoderBuilder::LayerNorm(absl::string_view name, Value* x, const WeightSpec& weight) {
  WeightSpec bias = weight;
  absl::StrAppend(&bias.name, ".bias");
  return graph_.Op(name, "layer_norm", {x, Weight(weight), Weight(bias)},
                   {{"eps", config_.encoder->layer_norm_eps}});
}

Value* DecoderBuilder::Linear(absl::string_view name, Value* x, const WeightSpec& weight) {
  return graph_.Op(name, "matmul", {x, Weight(weight), OptionalWeight(BiasOf(weight))});
}

Value* DecoderBuilder::TakeCache(absl::string_view name, TensorType type) {
  const auto free = std::find_if(free_caches_.begin(), free_caches_.end(),
                                 [&](const Value* cache) { return cache->type() == type; });
  if (free == free_caches_.end()) return graph_.State(name, std::move(type));
  Value* cache = *free;
  free_caches_.erase(free);
  return cache;
}

void DecoderBuilder::DoneWith(Value* cache) {
  if (config_.encoder.has_value() && cache != nullptr) free_caches_.push_back(cache);
}

void DecoderBuilder::Fail(absl::Status status) {
  if (graph_.ok()) status_.Update(status);  // otherwise it follows from an earlier error
}

absl::StatusOr<Graph> DecoderBuilder::Build() && {
  SLUICE_RETURN_IF_ERROR(status_);
  return std::move(graph_).Build();
}

DecoderLayer::DecoderLayer(DecoderBuilder& builder, int64_t index)
    : b_(builder),
      config_(builder.config()),
      layer_(config_.layers[static_cast<size_t>(index)]),
      value_prefix_(absl::StrCat("l", index, ".")),
      weight_prefix_(absl::StrCat("blk.", index, ".")) {}

std::string DecoderLayer::ValueName(absl::string_view name) const {
  return absl::StrCat(value_prefix_, name);
}

WeightSpec DecoderLayer::Vector(absl::string_view name, int64_t length) const {
  return {.name = absl::StrCat(weight_prefix_, name), .shape = {length}};
}

WeightSpec DecoderLayer::Matrix(absl::string_view name, int64_t out, int64_t in,
                                FusedRows fused) const {
  if (!fused.tensor.empty()) fused.tensor = absl::StrCat(weight_prefix_, fused.tensor);
  return {.name = absl::StrCat(weight_prefix_, name), .shape = {out, in}, .fused = fused};
}

WeightSpec DecoderLayer::ExpertMatrix(absl::string_view name, int64_t out, int64_t in,
                                      FusedRows fused) const {
  WeightSpec spec = Matrix(name, out, in, std::move(fused));
  spec.experts = config_.experts;
  return spec;
}

Value* DecoderLayer::Op(absl::string_view name, absl::string_view op, std::vector<Value*> operands,
                        Attributes attrs) {
  return b_.graph().Op(ValueName(name), op, std::move(operands), std::move(attrs));
}

std::vector<Value*> DecoderLayer::Ops(std::vector<absl::string_view> names, absl::string_view op,
                                      std::vector<Value*> operands, Attributes attrs) {
  std::vector<std::string> full;
  for (const absl::string_view name : names) full.push_back(ValueName(name));
  return b_.graph().Ops(std::move(full), op, std::move(operands), std::move(attrs));
}

Value* DecoderLayer::Add(absl::string_view name, Value* a, Value* b) {
  return Op(name, "add", {a, b});
}

Value* DecoderLayer::Norm(absl::string_view name, Value* x, absl::string_view weight) {
  return b_.RmsNorm(ValueName(name), x, Vector(weight, config_.hidden));
}

Value* DecoderLayer::HeadNorm(absl::string_view name, Value* heads, absl::string_view weight) {
  return b_.RmsNorm(ValueName(name), heads, Vector(weight, config_.key_length));
}

Value* DecoderLayer::LayerNorm(absl::string_view name, Value* x, absl::string_view weight) {
  return b_.LayerNorm(ValueName(name), x, Vector(weight, config_.hidden));
}

Value* DecoderLayer::Linear(absl::string_view name, Value* x, const WeightSpec& weight) {
  return b_.Linear(ValueName(name), x, weight);
}

Value* DecoderLayer::ExpertLinear(absl::string_view name, Value* rows, const WeightSpec& weight,
                                  Value* offsets) {
  return Op(name, "expert_matmul",
            {rows, b_.Weight(weight), offsets, b_.OptionalWeight(BiasOf(weight))});
}

Value* DecoderLayer::Reshape(absl::string_view name, Value* x, Shape shape) {
  return Op(name, "reshape", {x}, {{"shape", std::move(shape)}});
}

AttentionHeads DecoderLayer::ProjectHeads(Value* x) {
  const int64_t hidden = config_.hidden;
  const int64_t key = config_.key_length;
  const int64_t value = config_.value_length;
  const int64_t q = layer_.heads * key;
  const int64_t k = layer_.kv_heads * key;
  const int64_t v = layer_.kv_heads * value;
  const int64_t qkv = q + k + v;
  Value* queries = Linear("q", x, Matrix("attn_q", q, hidden, {"attn_qkv", 0, qkv}));
  Value* keys = Linear("k", x, Matrix("attn_k", k, hidden, {"attn_qkv", q, qkv}));
  Value* values = Linear("v", x, Matrix("attn_v", v, hidden, {"attn_qkv", q + k, qkv}));
  return {.q = Reshape("qh", queries, {Tokens(), layer_.heads, key}),
          .k = Reshape("kh", keys, {Tokens(), layer_.kv_heads, key}),
          .v = Reshape("vh", values, {Tokens(), layer_.kv_heads, value})};
}

Value* DecoderLayer::Rope(absl::string_view name, Value* heads, RopeStyle style) {
  return Rotate(name, heads, style, nullptr);
}

Value* DecoderLayer::RopeWithDivisors(absl::string_view name, Value* heads, RopeStyle style) {
  Value* divisors = b_.OptionalWeight({.name = "rope_freqs", .shape = {config_.rope.dims / 2}});
  return Rotate(name, heads, style, divisors);
}

Value* DecoderLayer::Rotate(absl::string_view name, Value* heads, RopeStyle style,
                            Value* divisors) {
  const RopeConfig& rope = config_.rope;
  const bool neox = style == RopeStyle::kNeox;
  Attributes attrs = {{"style", neox ? "neox" : "interleaved"},
                      {"dims", rope.dims},
                      {"base", rope.base},
                      {"attn_factor", rope.attn_factor}};
  if (rope.scaling != RopeConfig::Scaling::kNone) {
    const bool yarn = rope.scaling == RopeConfig::Scaling::kYarn;
    attrs.Set("scaling", yarn ? "yarn" : "linear");
    attrs.Set("factor", rope.factor);
    if (yarn) attrs.Set("original_context", rope.original_context);
  }
  return Op(name, "rope", {heads, b_.inputs().positions, divisors}, std::move(attrs));
}

Value* DecoderLayer::Cache(absl::string_view name, DType decoder_dtype, int64_t length) {
  const DType dtype = config_.encoder.has_value() ? DType::kF32 : decoder_dtype;
  const int64_t group = Info(dtype).elements_per_block;
  if (length % group != 0) {
    b_.Fail(absl::InvalidArgumentError(
        absl::StrCat("a cache of ", Name(dtype), " needs heads whose length is a multiple of ",
                     group, ", the model's have ", length, ": expected f32, f16 or bf16")));
    return nullptr;
  }
  const Shape shape = {Dim::Symbol(decoder::kBlocks), layer_.kv_heads, b_.options().block_size,
                       length};
  return b_.TakeCache(ValueName(name), {dtype, shape, /*is_state=*/true});
}

Value* DecoderLayer::Attend(const AttentionHeads& heads) {
  const DecoderInputs& in = b_.inputs();
  Value* k_cache = Cache("k_cache", b_.options().k_type, config_.key_length);
  Value* v_cache = Cache("v_cache", b_.options().v_type, config_.value_length);
  const std::vector<Value*> caches =
      Ops({"kc", "vc"}, "kv_append", {k_cache, v_cache, heads.k, heads.v, in.slots});
  const double scale = 1 / std::sqrt(static_cast<double>(config_.key_length));
  const bool causal = !config_.encoder.has_value() || config_.encoder->causal;
  Value* a = Op(
      "a", "attention",
      {heads.q, caches[0], caches[1], in.positions, in.seq_ids, in.block_tables, in.context_lens},
      {{"scale", scale}, {"causal", causal}});
  for (Value* cache : caches) b_.DoneWith(cache);
  const int64_t width = layer_.heads * config_.value_length;
  return Linear("o", Reshape("am", a, {Tokens(), width}),
                Matrix("attn_output", config_.hidden, width));
}

Value* DecoderLayer::FeedForward(Value* x) {
  const WeightSpec router = Matrix("ffn_gate_inp", config_.experts, config_.hidden);
  const WeightSpec gate = Matrix("ffn_gate", layer_.feed_forward, config_.hidden);
  // A layer without a router is dense. If it lacks both, it is the router that is missed.
  const bool routed = config_.experts > 0 && (b_.Has(router) || !b_.Has(gate));
  return routed ? ExpertFeedForward(x, router) : DenseFeedForward(x, gate);
}

Value* DecoderLayer::GeluFeedForward(Value* x) {
  Value* u = Linear("u", x, Matrix("ffn_up", layer_.feed_forward, config_.hidden));
  return Linear("d", Op("h", "gelu", {u}), Matrix("ffn_down", config_.hidden, layer_.feed_forward));
}

Value* DecoderLayer::DenseFeedForward(Value* x, const WeightSpec& gate) {
  const int64_t ff = layer_.feed_forward;
  if (ff == 0) {
    b_.Fail(absl::InvalidArgumentError(absl::StrCat(
        "the layer of '", gate.name, "' is dense, but the key feed_forward_length is missing")));
    return nullptr;
  }
  Value* g = Linear("g", x, gate);
  Value* u = Linear("u", x, Matrix("ffn_up", ff, config_.hidden));
  Value* h = Op("h", "mul", {Op("s", "silu", {g}), u});
  return Linear("d", h, Matrix("ffn_down", config_.hidden, ff));
}

Value* DecoderLayer::ExpertFeedForward(Value* x, const WeightSpec& router) {
  const int64_t hidden = config_.hidden;
  const int64_t ff = layer_.expert_feed_forward;
  Value* logits = Linear("lg", x, router);
  const std::vector<Value*> chosen =
      Ops({"p", "id"}, "topk_softmax", {logits}, {{"k", config_.experts_used}, {"renorm", true}});
  const std::vector<Value*> plan = Ops({"rows", "row_of", "offsets"}, "moe_gather", {x, chosen[1]},
                                       {{"experts", config_.experts}});
  Value* rows = plan[0];
  Value* row_of = plan[1];
  Value* offsets = plan[2];
  const FusedRows gate_half = {"ffn_gate_up_exps", 0, 2 * ff};
  const FusedRows up_half = {"ffn_gate_up_exps", ff, 2 * ff};
  Value* g = ExpertLinear("g", rows, ExpertMatrix("ffn_gate_exps", ff, hidden, gate_half), offsets);
  Value* u = ExpertLinear("u", rows, ExpertMatrix("ffn_up_exps", ff, hidden, up_half), offsets);
  Value* h = Op("h", "mul", {Op("s", "silu", {g}), u});
  Value* d = ExpertLinear("d", h, ExpertMatrix("ffn_down_exps", hidden, ff), offsets);
  return Op("m", "scaled_add", {d, chosen[0], row_of});
}

}  // namespace sluice
