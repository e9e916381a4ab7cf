// Steps whose result is the likeliest tokens of each row instead of all logits.
#pragma once

#include "absl/status/statusor.h"
#include "backends/backend.h"
#include "graph/graph.h"

namespace sluice {

// Whether `graph` is a decoder whose logits are made on a device that copies outputs to the host,
// so that less of them is faster.
bool CopiesLogits(const Graph& graph, const Backend& backend);

// The decoder `graph` with other outputs: of each row of logits the kLikeliest largest (or all, if
// there are fewer), f32[outputs,k], and their tokens, i32[outputs,k], as op top_k gives them. They
// are chosen on the device that makes the logits.
absl::StatusOr<Graph> WithLikeliest(Graph graph);

}  // namespace sluice
