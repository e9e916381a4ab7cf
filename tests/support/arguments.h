// The words of the command line that are left for tests.
#pragma once

#include <string>
#include <vector>

namespace sluice {

// After the program's name, without GoogleTest's flags and --only.
const std::vector<std::string>& TestArguments();

}  // namespace sluice
