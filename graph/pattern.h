// Patterns: graph text with captures, as in OpDef::expands_to and in the rewrites of passes.
//
//   %g = matmul(%x, @gate, %bias?)
//   %s = $act(%g)
//   %n = rms_norm(%s, %w) {eps=$eps} if %w
//   %y = scaled_add(%n, %p, _, %r)
//
// Names that no line defines are free values: %name any value, @name a weight, with ? one that may
// be left out. `_` is an operand that is left out. `$name` stands for an attribute value, or for an
// op whose name is the value of that attribute. A line with `if %w` is there only where the free
// value %w is; where it is not, the line's result is its first operand. Types are inferred, never
// written.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

struct PatternOperand {
  std::string name;          // without '%' or '@'; "" for `_`
  bool is_optional = false;  // written with ?
  bool is_weight = false;    // written with @
};

struct PatternNode {
  std::string op;  // "matmul", or "$act"
  std::vector<PatternOperand> operands;
  std::vector<std::pair<std::string, std::string>> attrs;  // name, capture without '$'
  std::vector<std::string> results;
  std::string condition;  // the free value of `if`; "" for a line that is always there

  bool op_is_capture() const { return op[0] == '$'; }
};

struct Pattern {
  std::vector<PatternNode> nodes;  // in order: operands are free or results of earlier nodes

  // Index of the node that defines `value`, and the position among its results; -1 if free.
  std::pair<int, int> FindProducer(absl::string_view value) const;
  // The free values in order of their first use; optional if they are so anywhere.
  std::vector<PatternOperand> FreeValues() const;
};

// Errors give the line of the pattern.
absl::StatusOr<Pattern> ParsePattern(absl::string_view text);

}  // namespace sluice
