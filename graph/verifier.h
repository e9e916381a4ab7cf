// The rules that every graph obeys, numbered at the head of verifier.cc. Runs after building, after
// every pass and after every load.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "graph/graph.h"

namespace sluice {

struct Violation {
  std::string message;           // "rule V4 (operands come before their users): %l0.q = ...: ..."
  const Value* value = nullptr;  // a source, or a node's first result; nullptr: the whole graph
};

// The first rule that the graph breaks.
std::optional<Violation> FindViolation(const Graph& graph);

// InvalidArgument with the violation's message.
absl::Status Verify(const Graph& graph);

}  // namespace sluice
