// Graphviz, which draws graphs.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace sluice {

// What Graphviz makes of `dot` as SVG. Unavailable, with the package to install, if `program` is
// not there; Internal, with its words, if it fails.
absl::StatusOr<std::string> DotToSvg(const std::string& dot, const std::string& program = "dot");

}  // namespace sluice
