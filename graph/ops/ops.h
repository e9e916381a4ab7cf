// Registration of the standard ops, one function per family file.
#pragma once

#include "absl/status/status.h"
#include "graph/op_def.h"

namespace sluice {

absl::Status RegisterLinearOps(OpRegistry& registry);
absl::Status RegisterMoeOps(OpRegistry& registry);       // with those of moe_tiles.cc
absl::Status RegisterExpertTiles(OpRegistry& registry);  // which is that one
absl::Status RegisterNormRopeOps(OpRegistry& registry);
absl::Status RegisterAttentionOps(OpRegistry& registry);
absl::Status RegisterElementwiseOps(OpRegistry& registry);
absl::Status RegisterLayoutOps(OpRegistry& registry);
absl::Status RegisterSamplingOps(OpRegistry& registry);

// All of the above, in that order.
absl::Status RegisterStandardOps(OpRegistry& registry);

}  // namespace sluice
