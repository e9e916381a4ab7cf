#include "graph/ops/ops.h"

#include <cstdlib>

#include "graph/status_macros.h"

namespace sluice {

namespace {

OpRegistry MakeStandardOps() {
  OpRegistry registry;
  const absl::Status status = RegisterStandardOps(registry);
  if (!status.ok()) std::abort();  // our own records; tests/graph/graph_test.cc says which
  return registry;
}

}  // namespace

absl::Status RegisterStandardOps(OpRegistry& registry) {
  SLUICE_RETURN_IF_ERROR(RegisterLinearOps(registry));
  SLUICE_RETURN_IF_ERROR(RegisterMoeOps(registry));
  SLUICE_RETURN_IF_ERROR(RegisterNormRopeOps(registry));
  SLUICE_RETURN_IF_ERROR(RegisterAttentionOps(registry));
  SLUICE_RETURN_IF_ERROR(RegisterElementwiseOps(registry));
  SLUICE_RETURN_IF_ERROR(RegisterLayoutOps(registry));
  return RegisterSamplingOps(registry);
}

const OpRegistry& StandardOps() {
  static const OpRegistry registry = MakeStandardOps();
  return registry;
}

}  // namespace sluice
