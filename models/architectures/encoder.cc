#include "models/architectures/encoder.h"

#include "graph/encoder_interface.h"
#include "graph/status_macros.h"
#include "models/architectures/architecture.h"
#include "models/architectures/decoder_blocks.h"

namespace sluice {
namespace {

// The row of token_types for the first segment of a text, which all tokens are in: f32[hidden].
Value* FirstTokenType(DecoderBuilder& m) {
  GraphBuilder& g = m.graph();
  const int64_t hidden = m.config().hidden;
  Value* types =
      m.Weight({.name = "token_types", .shape = {m.config().encoder->token_types, hidden}});
  Value* row = g.Op("type_row", "slice", {types},
                    {{"axis", int64_t{0}}, {"begin", int64_t{0}}, {"end", int64_t{1}}});
  if (row != nullptr && row->type().dtype != DType::kF32) {
    row = g.Op("type_f32", "cast", {row}, {{"to", "f32"}});
  }
  return g.Op("type", "reshape", {row}, {{"shape", Shape{hidden}}});
}

// Token, kind of segment and position, summed and normed.
Value* Embed(DecoderBuilder& m) {
  GraphBuilder& g = m.graph();
  const ModelConfig& config = m.config();
  Value* tokens = m.Weight({.name = "token_embd", .shape = {config.vocabulary, config.hidden}});
  Value* places =
      m.Weight({.name = "position_embd", .shape = {config.context_length, config.hidden}});
  Value* token = g.Op("token", "embedding", {tokens, m.inputs().token_ids});
  Value* place = g.Op("place", "embedding", {places, m.inputs().positions});
  Value* typed = g.Op("typed", "add", {token, FirstTokenType(m)});
  Value* sum = g.Op("sum", "add", {typed, place});
  return m.LayerNorm("x", sum, {.name = "token_embd_norm", .shape = {config.hidden}});
}

Value* Pool(DecoderBuilder& m, Value* x, Pooling pooling) {
  const DecoderInputs& in = m.inputs();
  if (pooling == Pooling::kMean) {
    return m.graph().Op("mean", "mean_pool", {x, in.seq_ids, in.context_lens});
  }
  return m.graph().Op("rows", "gather_rows", {x, in.output_rows});
}

}  // namespace

absl::StatusOr<Graph> BuildEncoder(const ModelConfig& config, const DecoderOptions& options,
                                   WeightDirectory& weights) {
  SLUICE_ASSIGN_OR_RETURN(const DecoderOptions resolved, ResolveOptions(options, config));
  const Architecture* architecture = FindArchitecture(config.architecture);
  const Pooling pooling = resolved.pooling.value_or(config.encoder->pooling);
  DecoderBuilder m(config, resolved, weights);
  m.graph().Attr(encoder::kPooling, std::string(Name(pooling)));

  Value* x = Embed(m);
  for (size_t i = 0; i < config.layers.size(); ++i) {
    DecoderLayer layer(m, static_cast<int64_t>(i));
    x = architecture->layer(layer, x);
  }
  m.graph().Output(Pool(m, x, pooling));
  return std::move(m).Build();
}

}  // namespace sluice
