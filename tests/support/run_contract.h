// What every backend owes its callers: arguments that do not fit and outputs that are not there are
// errors with a reason, never a crash, and a right call after them gives right results.
#pragma once

#include "backends/backend.h"

namespace sluice {

void ExpectRunContract(Backend& backend);

}  // namespace sluice
