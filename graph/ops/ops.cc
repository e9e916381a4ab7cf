#include "graph/ops/ops.h"

#include "graph/status_macros.h"

namespace sluice {

absl::Status RegisterStandardOps(OpRegistry& registry) {
  SLUICE_RETURN_IF_ERROR(RegisterLinearOps(registry));
  SLUICE_RETURN_IF_ERROR(RegisterMoeOps(registry));
  SLUICE_RETURN_IF_ERROR(RegisterNormRopeOps(registry));
  SLUICE_RETURN_IF_ERROR(RegisterAttentionOps(registry));
  SLUICE_RETURN_IF_ERROR(RegisterElementwiseOps(registry));
  SLUICE_RETURN_IF_ERROR(RegisterLayoutOps(registry));
  return RegisterSamplingOps(registry);
}

}  // namespace sluice
