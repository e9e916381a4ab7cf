// Valid random graphs, for properties that hold for all graphs.
//
// A graph is a few blocks on a residual stream. Blocks are what models consist of and fusions look
// for, now and then spoilt in one place, or any op of the registry on values that fit. All of it is
// small: the reference runs a graph in about a millisecond, and RandomData makes valid data for it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "graph/graph.h"
#include "graph/op_def.h"

namespace sluice {

// Ops that no backend must have, and that passes make where it has: random graphs are for all
// backends and come without them.
inline constexpr absl::string_view kOptionalOps[] = {"router_topk", "indexed_expert_sum"};
inline bool IsOptional(const OpDef& op) {
  return std::find(std::begin(kOptionalOps), std::end(kOptionalOps), op.name) !=
         std::end(kOptionalOps);
}

// The same seed gives the same graph. An error is a bug of the generator or of the verifier.
absl::StatusOr<Graph> MakeRandomGraph(uint64_t seed);

}  // namespace sluice
