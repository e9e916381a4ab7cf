// Tables of tiles: what offsets of grouped rows say, for kernels that take some rows of one expert
// at a time.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "graph/tensor.h"

namespace sluice {

// Of a tile in the table: its first row, how many rows it has, their expert.
inline constexpr int64_t kTileNumbers = 3;

// What expert_tiles means: fills `tiles` [rows,3] from `offsets`, with up to `most` rows in a tile.
absl::Status TileExperts(const TensorView& offsets, int64_t most, const TensorView& tiles);

}  // namespace sluice
