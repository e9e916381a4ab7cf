#include "models/architectures/decoder.h"

#include "graph/status_macros.h"
#include "models/architectures/architecture.h"
#include "models/architectures/decoder_blocks.h"

namespace sluice {
namespace {

// The logits of the rows that are asked for.
Value* Logits(DecoderBuilder& m, Value* x, Value* token_table) {
  const ModelConfig& config = m.config();
  Value* rows = m.graph().Op("rows", "gather_rows", {x, m.inputs().output_rows});
  Value* norm = m.RmsNorm("norm", rows, {.name = "output_norm", .shape = {config.hidden}});
  const WeightSpec output = {.name = "output", .shape = {config.vocabulary, config.hidden}};
  Value* weight = m.Has(output) ? m.Weight(output) : token_table;
  return m.graph().Op("logits", "matmul", {norm, weight, m.OptionalWeight(BiasOf(output))});
}

}  // namespace

absl::StatusOr<Graph> BuildDecoder(const ModelConfig& config, const DecoderOptions& options,
                                   WeightDirectory& weights) {
  SLUICE_ASSIGN_OR_RETURN(const DecoderOptions resolved, ResolveOptions(options, config));
  const Architecture* architecture = FindArchitecture(config.architecture);
  DecoderBuilder m(config, resolved, weights);

  Value* table = m.Weight({.name = "token_embd", .shape = {config.vocabulary, config.hidden}});
  Value* x = m.graph().Op("x", "embedding", {table, m.inputs().token_ids});
  for (size_t i = 0; i < config.layers.size(); ++i) {
    DecoderLayer layer(m, static_cast<int64_t>(i));
    x = architecture->layer(layer, x);
  }
  m.graph().Output(Logits(m, x, table));
  return std::move(m).Build();
}

}  // namespace sluice
