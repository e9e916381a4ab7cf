// The rules that every graph obeys, numbered in verifier.cc. Runs after building, after every pass
// and after every load.
#pragma once

#include "absl/status/status.h"
#include "graph/graph.h"

namespace sluice {

// InvalidArgument: "rule V4 (operands come before their users): %l0.q = ...: <what is wrong>".
absl::Status Verify(const Graph& graph);

}  // namespace sluice
