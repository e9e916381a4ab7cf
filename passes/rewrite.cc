#include "passes/rewrite.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

// A place that was nearly rewritten.
struct Refusal {
  const Node* root;
  int lines;  // of the pattern that were found: how near a miss it was
  std::string what;
};

// What the rewrites of one pass have done.
struct Outcome {
  bool changed = false;
  std::vector<Refusal> refusals;  // of nodes that are still there
};

// A rewrite with its texts parsed, for one graph.
class Rewriter {
 public:
  Rewriter(Graph& graph, const CompileContext& context, const Rewrite& rewrite,
           absl::string_view pass, Outcome* outcome)
      : graph_(graph), context_(context), rewrite_(rewrite), pass_(pass), outcome_(*outcome) {}

  absl::Status Run() {
    SLUICE_RETURN_IF_ERROR(ParseTexts());
    Matcher matcher(whole_, choices_, graph_);
    for (Node* root : Roots()) {
      if (erased_.contains(root)) continue;
      Match match;
      if (!matcher.Run(root, &match)) {
        if (matcher.depth() >= 2) Refuse(root, matcher.depth(), matcher.reason());
        continue;
      }
      const std::string reason = CheckMatch(match);
      if (!reason.empty()) {
        Refuse(root, static_cast<int>(whole_.nodes.size()), reason);
        continue;
      }
      SLUICE_RETURN_IF_ERROR(Replace(match));
      outcome_.changed = true;
    }
    return absl::OkStatus();
  }

 private:
  void Refuse(const Node* root, int lines, const std::string& reason) {
    if (!context_.explain) return;
    const std::string ops =
        absl::StrJoin(after_.nodes, " and ",
                      [](std::string* out, const auto& line) { absl::StrAppend(out, line.op); });
    outcome_.refusals.push_back(
        {root, lines, absl::StrCat("%", root->name(), ": not rewritten to ", ops, ": ", reason)});
  }

  absl::Status ParseTexts() {
    SLUICE_ASSIGN_OR_RETURN(const Pattern before, ParsePattern(rewrite_.before));
    replaced_lines_ = before.nodes.size();
    SLUICE_ASSIGN_OR_RETURN(whole_,
                            ParsePattern(absl::StrCat(rewrite_.before, "\n", rewrite_.beside)));
    SLUICE_ASSIGN_OR_RETURN(after_, ParsePattern(rewrite_.after));
    for (const PatternNode& line : after_.nodes) {
      const OpDef* op = graph_.registry().Find(line.op);
      if (op == nullptr) return absl::InternalError(absl::StrCat("no op '", line.op, "'"));
      for (const auto& [attr, capture] : line.attrs) {
        if (const AttrDef* def = op->FindAttr(attr)) choices_[capture] = def->choices;
      }
    }
    return absl::OkStatus();
  }

  std::vector<Node*> Roots() const {
    std::vector<Node*> roots;
    const PatternNode& last = whole_.nodes.back();
    for (const auto& node : graph_.nodes()) {
      if (last.op_is_capture() || node->op().name == last.op) roots.push_back(node.get());
    }
    return roots;
  }

  // The lines of `before` that the match has.
  absl::flat_hash_set<const Node*> Replaced(const Match& match) const {
    absl::flat_hash_set<const Node*> nodes(
        match.nodes.begin(), match.nodes.begin() + static_cast<ptrdiff_t>(replaced_lines_));
    nodes.erase(nullptr);
    return nodes;
  }

  bool IsKept(const std::string& name) const { return after_.FindProducer(name).first >= 0; }

  // Empty, or why this match must stay as it is.
  std::string CheckMatch(const Match& match) {
    const absl::flat_hash_set<const Node*> replaced = Replaced(match);
    std::string fault = CheckTogether(replaced);
    if (fault.empty()) fault = CheckInnerValues(match, replaced);
    if (fault.empty()) fault = FindPlace(match, replaced);
    if (fault.empty() && rewrite_.refuse != nullptr)
      fault = rewrite_.refuse(match, graph_, context_);
    return fault;
  }

  // What runs once and what runs in every step stay apart, and so do devices.
  static std::string CheckTogether(const absl::flat_hash_set<const Node*>& replaced) {
    const Node* once = nullptr;
    const Node* repeated = nullptr;
    for (const Node* node : replaced) (node->once() ? once : repeated) = node;
    if (once != nullptr && repeated != nullptr) {
      return absl::StrCat("%", once->name(), " runs once, %", repeated->name(), " in every step");
    }
    const Node* any = *replaced.begin();
    for (const Node* node : replaced) {
      if (node->device() == any->device()) continue;
      return absl::StrCat("%", any->name(), " is on ", any->device(), ", %", node->name(), " on ",
                          node->device());
    }
    return "";
  }

  std::string CheckInnerValues(const Match& match,
                               const absl::flat_hash_set<const Node*>& replaced) const {
    for (size_t line = 0; line < replaced_lines_; ++line) {
      if (match.nodes[line] == nullptr) continue;
      for (size_t i = 0; i < whole_.nodes[line].results.size(); ++i) {
        if (IsKept(whole_.nodes[line].results[i])) continue;
        const Value* value = match.nodes[line]->result(i);
        if (graph_.IsOutput(value)) return absl::StrCat(value->ref(), " is an output of the graph");
        for (const Use& use : value->uses()) {
          if (!replaced.contains(use.node)) {
            return absl::StrCat(value->ref(), " is also used by %", use.node->name());
          }
        }
      }
    }
    return "";
  }

  // Sets place_ to the node before which the new ones can stand: as late as their results' users
  // allow, but not after the last node that goes.
  std::string FindPlace(const Match& match, const absl::flat_hash_set<const Node*>& replaced) {
    place_ = nullptr;
    for (const Node* node : replaced) {
      if (place_ == nullptr || graph_.IsBefore(place_, node)) place_ = const_cast<Node*>(node);
    }
    for (const Node* node : replaced) {
      for (const auto& result : node->results()) {
        for (const Use& use : result->uses()) {
          if (!replaced.contains(use.node) && graph_.IsBefore(use.node, place_)) place_ = use.node;
        }
      }
    }
    for (const PatternNode& line : after_.nodes) {
      const OpDef& op = *graph_.registry().Find(line.op);
      for (size_t i = 0; i < line.operands.size(); ++i) {
        const Value* operand = match.value(line.operands[i].name);
        if (operand == nullptr || IsKept(line.operands[i].name)) continue;
        std::string fault = CheckOperand(*operand, Updates(op, static_cast<int>(i)), replaced);
        if (!fault.empty()) return fault;
      }
    }
    return "";
  }

  static bool Updates(const OpDef& op, int operand) {
    return std::any_of(op.results.begin(), op.results.end(),
                       [&](const ResultDef& r) { return r.aliases == operand; });
  }

  // At place_ the operand must have been computed. If it is updated there, all its other users come
  // before; if another node updates it, that one comes after.
  std::string CheckOperand(const Value& operand, bool is_updated,
                           const absl::flat_hash_set<const Node*>& replaced) const {
    if (replaced.contains(operand.producer())) {
      return absl::StrCat(operand.ref(), " is an operand as well as a result of what would go");
    }
    if (operand.producer() != nullptr && !graph_.IsBefore(operand.producer(), place_)) {
      return absl::StrCat(operand.ref(), " is not computed yet where %", place_->name(),
                          " uses a result");
    }
    for (const Use& use : operand.uses()) {
      if (replaced.contains(use.node)) continue;
      const bool comes_before = graph_.IsBefore(use.node, place_);
      if ((is_updated && !comes_before) || (Updates(use.node->op(), use.operand) && comes_before)) {
        return absl::StrCat("%", use.node->name(), " and this would use the state ", operand.ref(),
                            " out of turn");
      }
    }
    return "";
  }

  absl::Status Replace(Match& match) {
    std::vector<Node*> doomed;
    for (size_t line = 0; line < replaced_lines_; ++line) {
      Node* node = match.nodes[line];
      if (node != nullptr && erased_.insert(node).second) doomed.push_back(node);
    }
    stands_for_ = doomed.front();
    Match placed = std::move(match);
    for (const PatternNode& line : after_.nodes) SLUICE_RETURN_IF_ERROR(AddLine(line, &placed));
    std::erase_if(outcome_.refusals, [&](const Refusal& refusal) {
      return std::find(doomed.begin(), doomed.end(), refusal.root) != doomed.end();
    });
    graph_.EraseAll(doomed);
    return absl::OkStatus();
  }

  // The name of a new result: that of the value that it replaces, or one like it.
  std::string TakeName(const std::string& result, Value* replaced, const Match& match) {
    absl::string_view base = result;
    if (absl::ConsumeSuffix(&base, "'")) return graph_.UniqueName(match.value(base)->name());
    if (replaced == nullptr) {
      return graph_.UniqueName(absl::StrCat(place_->name(), ".", result));
    }
    std::string name = replaced->name();
    graph_.Rename(replaced, graph_.UniqueName(absl::StrCat(name, ".old")));
    return name;
  }

  absl::Status AddLine(const PatternNode& line, Match* match) {
    const OpDef& op = *graph_.registry().Find(line.op);
    NodeSpec spec{.op = op.name, .before = place_};
    for (const PatternOperand& operand : line.operands) {
      spec.operands.push_back(operand.name.empty() ? nullptr : match->value(operand.name));
    }
    while (!spec.operands.empty() && spec.operands.back() == nullptr) spec.operands.pop_back();
    for (const auto& [attr, capture] : line.attrs) {
      const AttrValue* value = match->captures.Find(capture);
      if (value != nullptr) spec.attrs.Set(attr, *value);  // else of an absent line: the default
    }
    std::vector<Value*> replaced;
    for (const std::string& result : line.results) {
      replaced.push_back(match->value(result));
      spec.names.push_back(TakeName(result, replaced.back(), *match));
    }
    SLUICE_ASSIGN_OR_RETURN(Node * node, graph_.Add(std::move(spec)));
    node->set_origin(std::string(pass_));
    node->Accompany(*stands_for_);
    for (size_t i = 0; i < line.results.size(); ++i) {
      if (replaced[i] != nullptr) graph_.ReplaceUses(replaced[i], node->result(i));
      match->values[line.results[i]] = node->result(i);
    }
    return absl::OkStatus();
  }

  Graph& graph_;
  const CompileContext& context_;
  const Rewrite& rewrite_;
  const absl::string_view pass_;
  Pattern whole_, after_;
  size_t replaced_lines_ = 0;  // of whole_; the rest stays
  OpChoices choices_;
  Outcome& outcome_;
  // By this rewriter: to skip them among its roots. A later one may find new nodes at the same
  // addresses.
  absl::flat_hash_set<const Node*> erased_;
  // Of the match that is being replaced.
  Node* place_ = nullptr;
  const Node* stands_for_ = nullptr;  // whose device and layer the new nodes have
};

// The nearest miss of each place that nothing has rewritten.
void Explain(const Outcome& outcome, const CompileContext& context) {
  for (const Refusal& refusal : outcome.refusals) {
    const bool is_nearest =
        std::all_of(outcome.refusals.begin(), outcome.refusals.end(), [&](const Refusal& other) {
          return other.root != refusal.root || other.lines < refusal.lines || &other == &refusal ||
                 (other.lines == refusal.lines && &other > &refusal);
        });
    if (is_nearest) context.explain(refusal.what);
  }
}

}  // namespace

Rewrite FusionOf(const OpDef& fused, std::string beside) {
  const auto append_ref = [](std::string* out, const auto& part) {
    absl::StrAppend(out, "%", part.name);
  };
  std::string call = absl::StrCat(absl::StrJoin(fused.results, ", ", append_ref), " = ", fused.name,
                                  "(", absl::StrJoin(fused.operands, ", ", append_ref), ")");
  if (!fused.attrs.empty()) {
    absl::StrAppend(&call, " {",
                    absl::StrJoin(fused.attrs, ", ",
                                  [](std::string* out, const AttrDef& attr) {
                                    absl::StrAppend(out, attr.name, "=$", attr.name);
                                  }),
                    "}");
  }
  return {.before = fused.expands_to, .beside = std::move(beside), .after = std::move(call)};
}

absl::StatusOr<bool> ApplyRewrites(Graph& graph, const CompileContext& context,
                                   absl::Span<const Rewrite> rewrites, absl::string_view pass) {
  Outcome outcome;
  for (const Rewrite& rewrite : rewrites) {
    SLUICE_RETURN_IF_ERROR(Rewriter(graph, context, rewrite, pass, &outcome).Run());
  }
  Explain(outcome, context);
  return outcome.changed;
}

}  // namespace sluice
