// What `sluice --version` says.
#pragma once

#include <string>

namespace sluice::tools {

// Version, commit, compiler, oneDNN and the instruction set of the kernels that this machine gets.
std::string Version();

}  // namespace sluice::tools
