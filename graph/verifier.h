// The rules that every graph obeys, numbered at the head of verifier.cc. Runs after building, after
// every pass and after every load.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

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

// The first rule that the graph breaks.
std::optional<Violation> FindViolation(const Graph& graph);

// InvalidArgument with the violation's message.
absl::Status Verify(const Graph& graph);

}  // namespace sluice
