#include "passes/match.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/ops/elementwise.h"

namespace sluice {
namespace {

std::string RefOf(const Value* value) { return value != nullptr ? value->ref() : "nothing"; }

bool IsMatched(const Match& match, const Node* node) {
  return std::find(match.nodes.begin(), match.nodes.end(), node) != match.nodes.end();
}

}  // namespace

bool Matcher::Run(Node* root, Match* match) {
  reason_.clear();
  depth_ = 0;
  *match = {.nodes = std::vector<Node*>(pattern_.nodes.size(), nullptr)};
  return MatchNode(pattern_.nodes.size() - 1, root, match) && MatchRemainingLines(match);
}

// Remembers the failure that came furthest into the pattern.
bool Matcher::Fail(const Match& match, std::string reason) {
  const int depth = static_cast<int>(
      std::count_if(match.nodes.begin(), match.nodes.end(), [](Node* n) { return n; }));
  if (depth >= depth_) {
    depth_ = depth;
    reason_ = std::move(reason);
  }
  return false;
}

bool Matcher::MatchNode(size_t line, Node* node, Match* match) {
  const PatternNode& wanted = pattern_.nodes[line];
  if (match->nodes[line] != nullptr) {
    return match->nodes[line] == node ||
           Fail(*match, absl::StrCat("%", node->name(), " stands where %",
                                     match->nodes[line]->name(), " is expected"));
  }
  Match attempt = *match;
  if (!MatchOp(wanted, *node, &attempt) || !MatchAttrs(wanted, *node, &attempt)) return false;
  attempt.nodes[line] = node;
  const bool can_swap = node->op().is_commutative && wanted.operands.size() >= 2 &&
                        As<BinaryCall>(*node).a->type() == As<BinaryCall>(*node).b->type();
  if (!MatchOperands(wanted, *node, /*swap=*/false, &attempt) &&
      !(can_swap && MatchOperands(wanted, *node, /*swap=*/true, &attempt))) {
    return false;
  }
  if (!wanted.condition.empty() && attempt.value(wanted.condition) == nullptr) {
    return Fail(*match, absl::StrCat("%", node->name(), " leaves out ", wanted.condition));
  }
  for (size_t i = 0; i < wanted.results.size(); ++i) {
    attempt.values[wanted.results[i]] = node->result(i);
  }
  *match = std::move(attempt);
  return true;
}

bool Matcher::MatchOp(const PatternNode& wanted, const Node& node, Match* match) {
  if (!wanted.op_is_capture()) {
    return node.op().name == wanted.op ||
           Fail(*match,
                absl::StrCat("%", node.name(), " is a ", node.op().name, ", expected ", wanted.op));
  }
  const std::string capture = wanted.op.substr(1);
  const auto choices = choices_.find(capture);
  if (choices == choices_.end() || std::find(choices->second.begin(), choices->second.end(),
                                             node.op().name) == choices->second.end()) {
    return Fail(*match, absl::StrCat("%", node.name(), " is a ", node.op().name,
                                     ", which is no choice of ", capture));
  }
  return Capture(capture, node.op().name, node, match);
}

bool Matcher::Capture(const std::string& capture, const AttrValue& value, const Node& node,
                      Match* match) {
  const AttrValue* bound = match->captures.Find(capture);
  if (bound != nullptr && !(*bound == value)) {
    return Fail(*match, absl::StrCat("%", node.name(), " has ", capture, "=", ToString(value),
                                     ", another node has ", ToString(*bound)));
  }
  match->captures.Set(capture, value);
  return true;
}

// Attributes that the pattern does not write have their defaults, hence are not stored.
bool Matcher::MatchAttrs(const PatternNode& wanted, const Node& node, Match* match) {
  for (const auto& [name, value] : node.attrs()) {
    const bool is_known = std::any_of(wanted.attrs.begin(), wanted.attrs.end(),
                                      [&, &n = name](const auto& a) { return a.first == n; });
    if (!is_known) {
      return Fail(*match, absl::StrCat("%", node.name(), " has ", name, "=", ToString(value),
                                       ", expected the default"));
    }
  }
  for (const auto& [name, capture] : wanted.attrs) {
    const AttrValue* value = node.attrs().Find(name);
    if (value == nullptr) value = &*node.op().FindAttr(name)->default_value;
    if (!Capture(capture, *value, node, match)) return false;
  }
  return true;
}

bool Matcher::MatchOperands(const PatternNode& wanted, const Node& node, bool swap, Match* match) {
  if (node.operands().size() > wanted.operands.size()) {
    return Fail(*match, absl::StrCat("%", node.name(), " has more operands than the pattern"));
  }
  Match attempt = *match;
  for (size_t i = 0; i < wanted.operands.size(); ++i) {
    Value* value = node.operand(swap && i < 2 ? 1 - i : i);
    if (!MatchOperand(wanted.operands[i], value, node, &attempt)) return false;
  }
  *match = std::move(attempt);
  return true;
}

bool Matcher::MatchOperand(const PatternOperand& wanted, Value* value, const Node& user,
                           Match* match) {
  if (wanted.name.empty()) {
    return value == nullptr || Fail(*match, absl::StrCat("%", user.name(), " has the operand ",
                                                         value->ref(), ", expected none"));
  }
  const auto [line, result] = pattern_.FindProducer(wanted.name);
  if (line < 0) return Bind(wanted, value, user, match);
  const auto index = static_cast<size_t>(line);
  return pattern_.nodes[index].condition.empty()
             ? MatchResultOf(index, static_cast<size_t>(result), value, user, match)
             : MatchOptionalLine(index, value, user, match);
}

bool Matcher::MatchResultOf(size_t line, size_t result, Value* value, const Node& user,
                            Match* match) {
  if (value == nullptr || value->producer() == nullptr ||
      value->result_index() != static_cast<int>(result)) {
    return Fail(*match, absl::StrCat("an operand of %", user.name(), " is ", RefOf(value),
                                     ", expected the result of a ", pattern_.nodes[line].op));
  }
  return MatchNode(line, value->producer(), match);
}

bool Matcher::MatchOptionalLine(size_t line, Value* value, const Node& user, Match* match) {
  if (value != nullptr && value->producer() != nullptr && value->result_index() == 0 &&
      MatchNode(line, value->producer(), match)) {
    return true;
  }
  const PatternNode& wanted = pattern_.nodes[line];
  Match attempt = *match;
  const PatternOperand condition = {.name = wanted.condition, .is_optional = true};
  if (!Bind(condition, nullptr, user, &attempt) ||
      !MatchOperand(wanted.operands.front(), value, user, &attempt)) {
    return false;
  }
  *match = std::move(attempt);
  return true;
}

bool Matcher::Bind(const PatternOperand& wanted, Value* value, const Node& user, Match* match) {
  if (value == nullptr && !wanted.is_optional) {
    return Fail(*match, absl::StrCat("%", user.name(), " leaves out ", wanted.name));
  }
  if (wanted.is_weight && value != nullptr && value->kind() != Value::Kind::kWeight) {
    return Fail(*match, absl::StrCat(value->ref(), " is no weight"));
  }
  const auto [it, is_new] = match->values.emplace(wanted.name, value);
  return is_new || it->second == value ||
         Fail(*match, absl::StrCat("%", user.name(), " uses ", RefOf(value),
                                   " where another node uses ", RefOf(it->second)));
}

bool Matcher::MatchRemainingLines(Match* match) {
  size_t line = 0;
  const auto is_done = [&](size_t i) {
    const std::string& condition = pattern_.nodes[i].condition;
    const bool is_absent = !condition.empty() && match->values.contains(condition) &&
                           match->value(condition) == nullptr;
    return match->nodes[i] != nullptr || is_absent;
  };
  while (line < pattern_.nodes.size() && is_done(line)) ++line;
  if (line == pattern_.nodes.size()) return true;
  for (Node* candidate : Candidates(line, *match)) {
    Match attempt = *match;
    if (!MatchNode(line, candidate, &attempt) || !MatchRemainingLines(&attempt)) continue;
    *match = std::move(attempt);
    return true;
  }
  return Fail(*match, absl::StrCat("no ", pattern_.nodes[line].op, " for %",
                                   pattern_.nodes[line].results[0], " of the pattern"));
}

// Nodes that may be the line: users of the first known operand that has any, in execution order.
std::vector<Node*> Matcher::Candidates(size_t line, const Match& match) const {
  std::vector<Node*> candidates;
  const PatternNode& wanted = pattern_.nodes[line];
  for (size_t i = 0; i < wanted.operands.size() && candidates.empty(); ++i) {
    const Value* operand = match.value(wanted.operands[i].name);
    if (operand == nullptr) continue;
    for (const Use& use : operand->uses()) {
      if (use.operand == static_cast<int>(i) && !IsMatched(match, use.node) &&
          IsInOrder(line, *use.node, match)) {
        candidates.push_back(use.node);
      }
    }
  }
  std::sort(candidates.begin(), candidates.end(),
            [&](const Node* a, const Node* b) { return graph_.IsBefore(a, b); });
  return candidates;
}

bool Matcher::IsInOrder(size_t line, const Node& node, const Match& match) const {
  for (size_t other = 0; other < match.nodes.size(); ++other) {
    const Node* matched = match.nodes[other];
    if (matched == nullptr || pattern_.nodes[other].op != pattern_.nodes[line].op) continue;
    if (graph_.IsBefore(matched, &node) != (other < line)) return false;
  }
  return true;
}

}  // namespace sluice
