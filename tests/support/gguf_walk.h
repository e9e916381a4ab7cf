// Reads everything that a GgufFile offers, for tests and fuzzing.
#pragma once

#include <string>

#include "models/gguf.h"

namespace sluice {

// Calls every accessor on every value and tensor and touches all the bytes they give. Returns the
// first promise of gguf.h that does not hold, "" if all do.
std::string WalkGguf(const GgufFile& file);

}  // namespace sluice
