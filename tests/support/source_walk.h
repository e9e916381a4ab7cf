// Reads everything that a WeightSource offers, for tests and fuzzing.
#pragma once

#include <string>

#include "models/files/weight_source.h"

namespace sluice {

// Calls every accessor on every value and tensor and touches all the bytes they give. Returns the
// first promise of weight_source.h that does not hold, "" if all do.
std::string WalkSource(const WeightSource& file);

}  // namespace sluice
