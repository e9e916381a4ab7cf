// Graphs of encoders: token ids in, one vector for each text or each token out, as
// graph/encoder_interface.h says. Everything but the layers is the same for every architecture.
#pragma once

#include "absl/status/statusor.h"
#include "graph/graph.h"
#include "models/architectures/config.h"
#include "models/architectures/decoder_options.h"
#include "models/weights/weight_directory.h"

namespace sluice {

// As BuildDecoder, for a config with an `encoder`.
absl::StatusOr<Graph> BuildEncoder(const ModelConfig& config, const DecoderOptions& options,
                                   WeightDirectory& weights);

}  // namespace sluice
