// Finding a pattern (graph/pattern.h) in a graph.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "graph/graph.h"
#include "graph/pattern.h"

namespace sluice {

// A place where a pattern stands.
struct Match {
  // One per line of the pattern; nullptr: a line with `if` that is absent.
  std::vector<Node*> nodes;
  absl::flat_hash_map<std::string, Value*> values;  // by name in the pattern; nullptr: left out
  Attributes captures;

  Value* value(absl::string_view name) const {
    auto it = values.find(name);
    return it != values.end() ? it->second : nullptr;
  }
};

// Names of ops that a `$capture` in the place of an op may stand for.
using OpChoices = absl::flat_hash_map<std::string, std::vector<std::string>>;

// Searches for the pattern with `root` as its last line. From there it goes to the producers of
// operands, then, for lines that the root does not depend on, to the other users of values that are
// known by then. Commutative ops match with their first two operands in either order. Lines with
// the same op that are found by a common operand match in execution order, so that q, k and v stay
// q, k and v.
class Matcher {
 public:
  Matcher(const Pattern& pattern, const OpChoices& choices, const Graph& graph)
      : pattern_(pattern), choices_(choices), graph_(graph) {}

  bool Run(Node* root, Match* match);

  // After a Run that found nothing: what stood in the way of the attempt that came furthest, and
  // how many lines of the pattern had been found by then.
  const std::string& reason() const { return reason_; }
  int depth() const { return depth_; }

 private:
  bool Fail(const Match& match, std::string reason);
  bool MatchNode(size_t line, Node* node, Match* match);
  bool MatchOp(const PatternNode& wanted, const Node& node, Match* match);
  bool MatchAttrs(const PatternNode& wanted, const Node& node, Match* match);
  bool Capture(const std::string& capture, const AttrValue& value, const Node& node, Match* match);
  bool MatchOperands(const PatternNode& wanted, const Node& node, bool swap, Match* match);
  bool MatchOperand(const PatternOperand& wanted, Value* value, const Node& user, Match* match);
  bool MatchResultOf(size_t line, size_t result, Value* value, const Node& user, Match* match);
  bool MatchOptionalLine(size_t line, Value* value, const Node& user, Match* match);
  bool Bind(const PatternOperand& wanted, Value* value, const Node& user, Match* match);
  bool MatchRemainingLines(Match* match);
  std::vector<Node*> Candidates(size_t line, const Match& match) const;
  bool IsInOrder(size_t line, const Node& node, const Match& match) const;

  const Pattern& pattern_;
  const OpChoices& choices_;
  const Graph& graph_;
  std::string reason_;
  int depth_ = 0;
};

}  // namespace sluice
