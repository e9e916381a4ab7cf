// What differs between two graphs, part by part and not line by line: a node is known by the name
// of its first result, a source or symbol by its own name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/graph.h"

namespace sluice {

// One field that differs, as it reads in graph text; "" where there is none.
struct FieldChange {
  std::string field;  // one of DiffFields()
  std::string before, after;
};

struct Difference {
  enum class Kind : uint8_t { kAdded, kRemoved, kChanged };
  Kind kind;
  std::string what;  // "graph", "symbol", "input", "weight", "state", "node"
  std::string name;  // "tokens", "%l0.q", "@blk.0.attn_q"
  std::string line;  // added or removed: as in graph text, without the storage of a source
  // Changed: what differs, in the order of DiffFields(). A move is the field "order", and tells
  // which part stood before this one ("after %l0.k", "first").
  std::vector<FieldChange> fields;
  // Of a removed node: the node of the other graph that now has a result of its name, or "".
  std::string now_in;
};

struct OpCount {
  std::string op;
  int64_t before = 0, after = 0;
};

struct GraphDiff {
  // The graph, symbols and sources, then the nodes in execution order. What was removed stands
  // where it was.
  std::vector<Difference> differences;
  std::vector<OpCount> ops;  // how often each op is used, sorted by name

  bool empty() const { return differences.empty(); }
};

// What may differ: "op", "results", "operands", ..., "order".
absl::Span<const absl::string_view> DiffFields();

// Differences in the fields named by `ignored` do not count. The order of symbols and of weights
// has no meaning and never counts. As few parts as possible are called moved.
GraphDiff Diff(const Graph& before, const Graph& after, absl::Span<const std::string> ignored = {});

// For people: one line per part, one more per field of a changed one, and a last line of counts.
// "" where nothing differs. `colour` adds terminal colours, and shows instead of sending what else
// a terminal would act on.
std::string Print(const GraphDiff& diff, bool colour);

// A table of the ops whose count differs, and the total.
std::string PrintOpCounts(const GraphDiff& diff);

}  // namespace sluice
