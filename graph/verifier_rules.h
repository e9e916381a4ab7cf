// What the files of the verifier share; for graph/verifier*.cc only.
#pragma once

#include <optional>

#include "absl/strings/str_cat.h"
#include "graph/graph.h"
#include "graph/text.h"
#include "graph/verifier.h"

namespace sluice {

// Rules return nullopt where the graph obeys them.
using Found = std::optional<Violation>;

// Rules about storage, in verifier_storage.cc; the others are in verifier.cc.
Found CheckInPlace(const Graph& graph);  // V9
Found CheckMemory(const Graph& graph);   // V11

template <typename... What>
Found BrokenGraph(const What&... what) {
  return Violation{absl::StrCat("graph: ", what...), nullptr};
}

// For rules that cannot print a node.
template <typename... What>
Found BrokenRef(const Value& value, const What&... what) {
  return Violation{absl::StrCat(value.ref(), ": ", what...), &value};
}

template <typename... What>
Found BrokenNode(const Node& node, const What&... what) {
  return Violation{absl::StrCat(Print(node), ": ", what...), node.result()};
}

template <typename... What>
Found BrokenValue(const Value& value, const What&... what) {
  if (value.producer() == nullptr) return BrokenRef(value, what...);
  return BrokenNode(*value.producer(), value.ref(), ": ", what...);
}

}  // namespace sluice
