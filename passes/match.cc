#include "passes/match.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

class Matcher {
 public:
  Matcher(const Pattern& pattern, const OpDef& fused) : pattern_(pattern), fused_(fused) {}

  bool Run(Node* root, Match* match) {
    match->nodes.assign(pattern_.nodes.size(), nullptr);
    return MatchNode(static_cast<int>(pattern_.nodes.size()) - 1, root, match);
  }

  const std::string& reason() const { return reason_; }
  // Nodes that fitted before the last failure: how near a miss it was.
  int depth() const { return depth_; }

 private:
  // Remembers the failure that came furthest into the pattern.
  bool Fail(const Match& match, std::string reason) {
    const int depth = static_cast<int>(
        std::count_if(match.nodes.begin(), match.nodes.end(), [](Node* n) { return n; }));
    if (depth >= depth_) {
      depth_ = depth;
      reason_ = std::move(reason);
    }
    return false;
  }

  bool MatchNode(int line, Node* node, Match* match) {
    const PatternNode& wanted = pattern_.nodes[static_cast<size_t>(line)];
    Node*& slot = match->nodes[static_cast<size_t>(line)];
    if (slot != nullptr) return slot == node || Fail(*match, "two lines need different nodes");
    if (!MatchOp(wanted, *node, match) || !MatchAttrs(wanted, *node, match)) return false;
    slot = node;
    if (MatchOperands(wanted, *node, /*swap=*/false, match)) return true;
    const bool can_swap = node->op().is_commutative && wanted.operands.size() >= 2 &&
                          node->operand(0)->type() == node->operand(1)->type();
    return can_swap && MatchOperands(wanted, *node, /*swap=*/true, match);
  }

  bool MatchOp(const PatternNode& wanted, const Node& node, Match* match) {
    if (!wanted.op_is_capture()) {
      return node.op().name == wanted.op ||
             Fail(*match, absl::StrCat("%", node.name(), " is a ", node.op().name, ", expected ",
                                       wanted.op));
    }
    const std::string attr = wanted.op.substr(1);
    const auto& choices = fused_.FindAttr(attr)->choices;
    if (std::find(choices.begin(), choices.end(), node.op().name) == choices.end()) {
      return Fail(*match, absl::StrCat("%", node.name(), " is a ", node.op().name,
                                       ", which is no choice of ", attr));
    }
    return Capture(attr, node.op().name, node, match);
  }

  bool Capture(const std::string& attr, const AttrValue& value, const Node& node, Match* match) {
    const AttrValue* bound = match->captures.Find(attr);
    if (bound != nullptr && !(*bound == value)) {
      return Fail(*match, absl::StrCat("%", node.name(), " has ", attr, "=", ToString(value),
                                       ", another node has ", ToString(*bound)));
    }
    match->captures.Set(attr, value);
    return true;
  }

  // Attributes that the pattern does not write have their defaults, hence are not stored.
  bool MatchAttrs(const PatternNode& wanted, const Node& node, Match* match) {
    for (const auto& [name, value] : node.attrs()) {
      const bool known = std::any_of(wanted.attrs.begin(), wanted.attrs.end(),
                                     [&, &n = name](const auto& a) { return a.first == n; });
      if (!known) {
        return Fail(*match, absl::StrCat("%", node.name(), " has ", name, "=", ToString(value),
                                         ", expected the default"));
      }
    }
    for (const auto& [name, capture] : wanted.attrs) {
      const AttrValue* value = node.attrs().Find(name);
      if (value == nullptr) value = &*node.op().FindAttr(name)->default_value;
      if (!Capture(capture.substr(1), *value, node, match)) return false;
    }
    return true;
  }

  bool MatchOperands(const PatternNode& wanted, const Node& node, bool swap, Match* match) {
    Match attempt = *match;
    if (node.operands().size() > wanted.operands.size()) {
      return Fail(*match, absl::StrCat("%", node.name(), " has more operands than the pattern"));
    }
    for (size_t i = 0; i < wanted.operands.size(); ++i) {
      const size_t from = swap && i < 2 ? 1 - i : i;
      if (!MatchValue(wanted.operands[i], node.operand(from), node, &attempt)) return false;
    }
    *match = std::move(attempt);
    return true;
  }

  bool MatchValue(const std::string& name, Value* value, const Node& user, Match* match) {
    const auto [line, result] = pattern_.FindProducer(name);
    if (line >= 0) {
      if (value == nullptr || value->producer() == nullptr || value->result_index() != result) {
        return Fail(*match, absl::StrCat("an operand of %", user.name(), " is ",
                                         value ? value->ref() : "left out",
                                         ", expected the result of a node"));
      }
      if (!MatchNode(line, value->producer(), match)) return false;
    } else if (value == nullptr && !IsOptional(name)) {
      return Fail(*match, absl::StrCat("%", user.name(), " leaves out ", name));
    }
    auto [it, is_new] = match->values.emplace(name, value);
    return is_new || it->second == value ||
           Fail(*match, absl::StrCat("%", user.name(), " uses ", value ? value->ref() : "nothing",
                                     " where another node uses ",
                                     it->second ? it->second->ref() : "nothing"));
  }

  bool IsOptional(const std::string& name) const {
    return std::any_of(fused_.operands.begin(), fused_.operands.end(),
                       [&](const OperandDef& o) { return o.name == name && o.optional; });
  }

  const Pattern& pattern_;
  const OpDef& fused_;
  std::string reason_;
  int depth_ = 0;
};

bool IsResult(const OpDef& fused, const std::string& name) {
  return std::any_of(fused.results.begin(), fused.results.end(),
                     [&](const ResultDef& r) { return r.name == name; });
}

// Empty, or why an inner value must stay.
std::string CheckInnerValues(const Pattern& pattern, const OpDef& fused, const Graph& graph,
                             const Match& match) {
  const absl::flat_hash_set<const Node*> inside(match.nodes.begin(), match.nodes.end());
  for (size_t line = 0; line < pattern.nodes.size(); ++line) {
    for (size_t i = 0; i < pattern.nodes[line].results.size(); ++i) {
      if (IsResult(fused, pattern.nodes[line].results[i])) continue;
      const Value* value = match.nodes[line]->result(i);
      if (graph.IsOutput(value)) return absl::StrCat(value->ref(), " is an output of the graph");
      for (const Use& use : value->uses()) {
        if (!inside.contains(use.node)) {
          return absl::StrCat(value->ref(), " is also used by %", use.node->name());
        }
      }
    }
  }
  return "";
}

absl::Status Replace(const Pattern& pattern, const OpDef& fused, absl::string_view pass,
                     const Match& match, Graph* graph) {
  NodeSpec spec{.op = fused.name, .attrs = match.captures, .before = match.nodes.back()};
  for (const OperandDef& operand : fused.operands) {
    auto it = match.values.find(operand.name);
    spec.operands.push_back(it == match.values.end() ? nullptr : it->second);
  }
  std::vector<Value*> old_results;
  for (const ResultDef& result : fused.results) {
    const auto [line, index] = pattern.FindProducer(result.name);
    old_results.push_back(
        match.nodes[static_cast<size_t>(line)]->result(static_cast<size_t>(index)));
    spec.names.push_back(old_results.back()->name());
    graph->Rename(old_results.back(), graph->UniqueName(spec.names.back() + ".old"));
  }
  SLUICE_ASSIGN_OR_RETURN(Node * node, graph->Add(std::move(spec)));
  node->set_origin(std::string(pass));
  for (size_t i = 0; i < old_results.size(); ++i) {
    graph->ReplaceUses(old_results[i], node->result(i));
  }
  graph->EraseAll(match.nodes);
  return absl::OkStatus();
}

}  // namespace

std::string MatchAt(const Pattern& pattern, const OpDef& fused, const Graph& graph, Node* root,
                    Match* match) {
  Matcher matcher(pattern, fused);
  if (matcher.Run(root, match)) return CheckInnerValues(pattern, fused, graph, *match);
  return matcher.depth() >= 2 ? matcher.reason() : "no match";
}

absl::StatusOr<bool> FuseByExpansion(Graph& graph, const CompileContext& context,
                                     absl::string_view fused, absl::string_view pass) {
  const OpDef& op = *graph.registry().Find(fused);
  SLUICE_ASSIGN_OR_RETURN(const Pattern pattern, ParsePattern(op.expands_to));
  std::vector<Node*> roots;  // a match erases nodes before its root only
  for (const auto& node : graph.nodes()) roots.push_back(node.get());
  bool changed = false;
  for (Node* root : roots) {
    Match match;
    const std::string refusal = MatchAt(pattern, op, graph, root, &match);
    if (refusal.empty()) {
      SLUICE_RETURN_IF_ERROR(Replace(pattern, op, pass, match, &graph));
      changed = true;
    } else if (refusal != "no match" && context.explain) {
      context.explain(absl::StrCat("%", root->name(), ": not fused to ", fused, ": ", refusal));
    }
  }
  return changed;
}

}  // namespace sluice
