// Type patterns: what an op asks of an operand's type or says of a result's, read once from the
// beginning of its doc, so that what people read is what holds.
//
//   pattern = dtypes "[" dims "]"  or  "state<" dtypes "[" dims "]>"
//   dtypes  = "f32", "f32|f16|bf16", or "any": every dtype that formats/dequantize.h decodes
//   dims    = comma-separated; each one of
//     in           a name: bound where it first stands, the same dimension wherever it returns.
//                  The op's int attributes are bound before any operand is looked at.
//     2048         a number
//     t*k E+1 d/2  computed from bound names; a sum needs a constant, a quotient no remainder
//     ...          first place only: any number of leading dimensions, the same ones everywhere
//     *            first place only: any number of leading dimensions, each operand its own
//
// Examples: "f32[...,in]", "any[E,out,in], stacked experts", "i32[E+1]".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "graph/dtype.h"

namespace sluice {

// One dimension of a pattern, or the limit of a range of indices (op_def.h).
struct DimExpression {
  struct Term {
    std::string name;  // empty: `number`
    int64_t number = 0;
  };
  Term left;
  char op = '\0';  // '*', '+', '/', or none
  Term right;      // with an op

  bool is_name() const { return op == '\0' && !left.name.empty(); }
  bool is_number() const { return op == '\0' && left.name.empty(); }
  std::string ToString() const;  // "t*k"
};

// InvalidArgument for what is neither a name nor a number nor two of these and an operator.
absl::StatusOr<DimExpression> ParseDimExpression(absl::string_view text);

struct TypePattern {
  std::string text;  // "f32[t,k]"
  bool is_state = false;
  bool accepts_any = false;         // "any"
  std::vector<DType> dtypes;        // otherwise
  bool has_leading = false;         // "..." or "*"
  bool binds_leading = false;       // "..."
  std::vector<DimExpression> dims;  // without the leading ones

  bool Accepts(DType dtype) const;
};

// Whether a doc begins with a pattern: a bracket before any blank.
bool HasTypePattern(absl::string_view doc);
// InvalidArgument with what is wrong.
absl::StatusOr<TypePattern> ParseTypePattern(absl::string_view doc);

}  // namespace sluice
