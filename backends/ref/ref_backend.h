// The reference backend: every op's own evaluation, in order, slow and plain. It is the oracle that
// passes, kernels and other backends are compared with.
#pragma once

#include <memory>

#include "backends/backend.h"

namespace sluice {

std::unique_ptr<Backend> MakeRefBackend();

}  // namespace sluice
