// Valid random graphs, for properties that hold for all graphs.
//
// A graph is a few blocks on a residual stream. Blocks are what models consist of and fusions look
// for, now and then spoilt in one place, or any op of the registry on values that fit. All of it is
// small: the reference runs a graph in about a millisecond, and RandomData makes valid data for it.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "graph/graph.h"

namespace sluice {

// The same seed gives the same graph. An error is a bug of the generator or of the verifier.
absl::StatusOr<Graph> MakeRandomGraph(uint64_t seed);

}  // namespace sluice
