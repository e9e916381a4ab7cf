// Patterns: graph text with captures, as in OpDef::expands_to.
//
//   %g = matmul(%x, %gate, %gate_bias)
//   %s = $act(%g)
//   %n = rms_norm(%s, %w) {eps=$eps}
//
// Names that no line defines are free values. `$name` stands for an attribute value, or for an op
// whose name is the value of that attribute. A line's types are inferred, never written.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

struct PatternNode {
  std::string op;                                          // "matmul", or "$act"
  std::vector<std::string> operands;                       // names without '%'
  std::vector<std::pair<std::string, std::string>> attrs;  // name, value as text or "$capture"
  std::vector<std::string> results;

  bool op_is_capture() const { return op[0] == '$'; }
};

struct Pattern {
  std::vector<PatternNode> nodes;  // in order: operands are free or results of earlier nodes

  // Index of the node that defines `value`, and the position among its results; -1 if free.
  std::pair<int, int> FindProducer(absl::string_view value) const;
};

// Errors give the line of the pattern.
absl::StatusOr<Pattern> ParsePattern(absl::string_view text);

}  // namespace sluice
