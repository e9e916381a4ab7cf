#include "models/architectures/decoder.h"

#include "absl/strings/str_cat.h"
#include "graph/decoder_interface.h"
#include "graph/status_macros.h"
#include "models/architectures/architecture.h"
#include "models/architectures/decoder_blocks.h"

namespace sluice {
namespace {

absl::Status CheckOption(absl::string_view name, int64_t value, int64_t max) {
  if (value >= 1 && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("option ", name, ": expected 1 to ", max, ", got ", value));
}

// Checks the options and puts the defaults in.
absl::StatusOr<DecoderOptions> Resolve(DecoderOptions options, const ModelConfig& config) {
  constexpr int64_t kMax = ModelLimits::kIndex;
  if (options.context == 0) options.context = config.context_length;
  SLUICE_RETURN_IF_ERROR(CheckOption("max_tokens", options.max_tokens, kMax));
  SLUICE_RETURN_IF_ERROR(CheckOption("max_seqs", options.max_seqs, kMax));
  SLUICE_RETURN_IF_ERROR(CheckOption("context", options.context, ModelLimits::kContext));
  SLUICE_RETURN_IF_ERROR(CheckOption("block_size", options.block_size, kMax));
  if (options.blocks == 0) options.blocks = options.max_seqs * BlocksPerSequence(options);
  // The slot of a token, block * block_size + offset, is an i32.
  SLUICE_RETURN_IF_ERROR(CheckOption("blocks", options.blocks, kMax / options.block_size));
  return options;
}

// The logits of the rows that are asked for.
Value* Logits(DecoderBuilder& m, Value* x, Value* token_table) {
  const ModelConfig& config = m.config();
  Value* rows = m.graph().Op("rows", "gather_rows", {x, m.inputs().output_rows});
  Value* norm = m.RmsNorm("norm", rows, {.name = "output_norm", .shape = {config.hidden}});
  const WeightSpec output = {.name = "output", .shape = {config.vocabulary, config.hidden}};
  if (m.Has(output)) return m.Linear("logits", norm, output);
  return m.graph().Op("logits", "matmul", {norm, token_table});
}

}  // namespace

absl::StatusOr<Graph> BuildDecoder(const ModelConfig& config, const DecoderOptions& options,
                                   WeightDirectory& weights) {
  SLUICE_ASSIGN_OR_RETURN(const DecoderOptions resolved, Resolve(options, config));
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
