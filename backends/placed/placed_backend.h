// Several backends that run one graph together, each the nodes of its device. What one needs of
// another goes through the host.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "backends/backend.h"
#include "backends/placement.h"

namespace sluice {

// Errors: no devices, two of the same name, a rule for one that is not there.
absl::StatusOr<std::unique_ptr<Backend>> MakePlacedBackend(Placement placement);

}  // namespace sluice
