// A backend with a known fault, for tests of what looks for faults.
#pragma once

#include <memory>

#include "backends/backend.h"

namespace sluice {

// `inner`, but the first block of every weight of the format is read with the other sign of its
// scale, as a broken decoder would. For formats whose blocks begin with an f16 scale (q8_0, q4_0).
std::unique_ptr<Backend> MakeFaultyBackend(std::unique_ptr<Backend> inner, DType format);

}  // namespace sluice
