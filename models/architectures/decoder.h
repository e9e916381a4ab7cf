// Graphs of decoders: token ids in, logits out, with the inputs, symbols, states and outputs of
// graph/decoder_interface.h. Everything but the layers is the same for every architecture.
#pragma once

#include "absl/status/statusor.h"
#include "graph/graph.h"
#include "models/architectures/config.h"
#include "models/architectures/decoder_options.h"
#include "models/weights/weight_directory.h"

namespace sluice {

// The verified graph; `weights` holds its weights afterwards. Errors name the tensor, the option
// or the node; callers add the file. The config's architecture must be a known one.
absl::StatusOr<Graph> BuildDecoder(const ModelConfig& config, const DecoderOptions& options,
                                   WeightDirectory& weights);

}  // namespace sluice
