#include "graph/op_call.h"

#include "absl/strings/str_split.h"

namespace sluice {

std::vector<OperandDef> Named(absl::string_view names, absl::Span<const OperandSpec> specs) {
  std::vector<OperandDef> operands;
  size_t next = 0;
  for (const absl::string_view name : absl::StrSplit(names, ", ")) {
    const OperandSpec& spec = specs[next++];
    operands.push_back({.name = std::string(name),
                        .doc = std::string(spec.doc),
                        .optional = spec.optional,
                        .repackable = spec.repackable,
                        .positive = spec.positive,
                        .derived = spec.derived,
                        .below = std::string(spec.below),
                        .or_equal = spec.or_equal,
                        .order = spec.order});
  }
  return operands;
}

}  // namespace sluice
