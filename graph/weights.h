// Where the data of a graph's weights lies: names of weights to pieces of (usually mapped) memory.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"

namespace sluice {

// One piece, or one per index of the outermost dimension (experts stored as separate tensors).
// The dtype and shape are those of the graph's weight; pieces have equal sizes that add up to it.
using WeightPieces = std::vector<absl::Span<const std::byte>>;

// Keys are weight names without the '@'. The memory outlives every executable that uses it.
using WeightTable = absl::flat_hash_map<std::string, WeightPieces>;

}  // namespace sluice
