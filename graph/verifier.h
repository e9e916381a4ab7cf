// The rules that every graph obeys, numbered at the head of verifier.cc. Runs after building, after
// every pass and after every load.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "graph/graph.h"

namespace sluice {

// Places in memory begin at multiples of this: a cache line, and the width of an AVX-512 register.
inline constexpr int64_t kPlaceAlignment = 64;
constexpr int64_t AlignPlace(int64_t bytes) {
  return (bytes + kPlaceAlignment - 1) / kPlaceAlignment * kPlaceAlignment;
}

struct Violation {
  std::string message;           // "rule V4 (operands come before their users): %l0.q = ...: ..."
  const Value* value = nullptr;  // a source, or a node's first result; nullptr: the whole graph
};

// The first rule that each faulty source and node breaks: those of the whole graph, then sources,
// then nodes in execution order. What follows from a fault of an operand is left out where that
// can be told.
struct Violations {
  std::vector<Violation> shown;  // at most ErrorList::kMaxShown
  int64_t more = 0;              // others
};
Violations FindViolations(const Graph& graph);

// InvalidArgument with the violations' messages, a line for each.
absl::Status Verify(const Graph& graph);

}  // namespace sluice
