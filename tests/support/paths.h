// Where test data lives.
#pragma once

#include <string>

namespace sluice {

// The project's own tests/data.
std::string TestDataDir();
// The full conformance pack beside the checkout, or "" where it is absent.
std::string ConformanceDir();

}  // namespace sluice
