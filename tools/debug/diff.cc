#include "tools/debug/diff.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "graph/text.h"
#include "models/unicode/printable.h"

namespace sluice {
namespace {

constexpr absl::string_view kOrder = "order";  // the one field that is not a part's own
constexpr std::array<absl::string_view, 15> kFields = {
    "name",   "outputs", "bound",  "op",      "results", "operands", "attributes", "types",
    "layout", "kernel",  "memory", "scratch", "once",    "origin",   kOrder};

// A part of a graph: a node, a source, a symbol. Values of fields are as in graph text.
struct Part {
  std::string name;
  std::string line;
  std::vector<std::pair<absl::string_view, std::string>> fields;
};
using Parts = std::vector<Part>;

std::string Text(const std::optional<MemSpan>& span) {
  if (!span) return "_";
  return absl::StrFormat("%s+0x%x:%d", ToString(AttrValue(span->region)), span->offset,
                         span->bytes);
}

std::string Label(const std::string& text) { return text.empty() ? "" : ToString(AttrValue(text)); }

// The places of all results; "" if none has one.
std::string Memory(const Node& node) {
  const auto placed = [](const auto& result) { return result->mem().has_value(); };
  if (absl::c_none_of(node.results(), placed)) return "";
  return absl::StrJoin(node.results(), ", ", [](std::string* out, const auto& result) {
    absl::StrAppend(out, Text(result->mem()));
  });
}

Part PartOf(const Node& node) {
  const auto ref = [](std::string* out, const Value* value) {
    absl::StrAppend(out, value != nullptr ? value->ref() : "_");
  };
  const auto result = [](std::string* out, const auto& value) {
    absl::StrAppend(out, value->ref());
  };
  const auto type = [](std::string* out, const auto& value) {
    absl::StrAppend(out, value->type().ToString());
  };
  return {.name = node.result()->ref(),
          .line = Print(node),
          .fields = {{"op", node.op().name},
                     {"results", absl::StrJoin(node.results(), ", ", result)},
                     {"operands", absl::StrJoin(node.operands(), ", ", ref)},
                     {"attributes", node.attrs().ToString()},
                     {"types", absl::StrJoin(node.results(), ", ", type)},
                     {"kernel", Label(node.kernel())},
                     {"memory", Memory(node)},
                     {"scratch", node.scratch() ? Text(node.scratch()) : ""},
                     {"once", node.once() ? "once" : ""},
                     {"origin", Label(node.origin())}}};
}

Parts PartsOf(absl::Span<const std::unique_ptr<Node>> nodes) {
  Parts parts;
  for (const auto& node : nodes) parts.push_back(PartOf(*node));
  return parts;
}

Parts PartsOf(absl::Span<const std::unique_ptr<Value>> sources, absl::string_view keyword) {
  Parts parts;
  for (const auto& source : sources) {
    const std::string type = source->type().ToString();
    parts.push_back({.name = source->ref(),
                     .line = absl::StrCat(keyword, " ", source->ref(), " : ", type),
                     .fields = {{"types", type},
                                {"layout", Label(source->layout())},
                                {"memory", source->mem() ? Text(source->mem()) : ""}}});
  }
  return parts;
}

Parts PartsOf(absl::Span<const SymbolDef> symbols) {
  Parts parts;
  for (const SymbolDef& symbol : symbols) {
    parts.push_back({.name = symbol.name,
                     .line = absl::StrCat("symbol ", symbol.name, " <= ", symbol.bound),
                     .fields = {{"bound", absl::StrCat(symbol.bound)}}});
  }
  return parts;
}

// The graph itself is one part under a fixed name, so that a new name is a change.
Parts PartsOf(const Graph& graph) {
  const auto ref = [](std::string* out, const Value* value) { absl::StrAppend(out, value->ref()); };
  return {{.name = "",
           .line = "",
           .fields = {{"name", Label(graph.name())},
                      {"attributes", graph.attrs().ToString()},
                      {"outputs", absl::StrJoin(graph.outputs(), ", ", ref)}}}};
}

// Marks one longest strictly increasing subsequence (patience sorting, Fredman 1975).
std::vector<bool> LongestIncreasing(absl::Span<const size_t> values) {
  constexpr size_t kNone = static_cast<size_t>(-1);
  std::vector<size_t> tails;  // index of the smallest end, by length - 1
  std::vector<size_t> previous(values.size(), kNone);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto place = absl::c_lower_bound(
        tails, values[i], [&](size_t tail, size_t value) { return values[tail] < value; });
    if (place != tails.begin()) previous[i] = *(place - 1);
    if (place == tails.end()) {
      tails.push_back(i);
    } else {
      *place = i;
    }
  }
  std::vector<bool> marked(values.size(), false);
  for (size_t i = tails.empty() ? kNone : tails.back(); i != kNone; i = previous[i]) {
    marked[i] = true;
  }
  return marked;
}

// Compares two lists of parts.
class ListDiff {
 public:
  ListDiff(absl::string_view what, const Parts& before, const Parts& after,
           absl::Span<const std::string> ignored)
      : what_(what), before_(before), after_(after), ignored_(ignored) {
    for (size_t i = 0; i < before.size(); ++i) before_index_[before[i].name] = i;
    for (size_t i = 0; i < after.size(); ++i) after_index_[after[i].name] = i;
  }

  // `ordered`: positions have a meaning.
  void Run(bool ordered, std::vector<Difference>* out) {
    const std::vector<bool> stays = Stays();
    size_t removed_up_to = 0;
    for (size_t i = 0; i < after_.size(); ++i) {
      const auto old = before_index_.find(after_[i].name);
      if (old == before_index_.end()) {
        out->push_back(Whole(Difference::Kind::kAdded, after_[i]));
        continue;
      }
      if (stays[i]) AppendRemoved(&removed_up_to, old->second, out);
      AppendChanged(old->second, i, ordered && !stays[i], out);
    }
    AppendRemoved(&removed_up_to, before_.size(), out);
  }

 private:
  // Which parts of `after` keep their place among those that both lists have.
  std::vector<bool> Stays() const {
    std::vector<size_t> positions, common;
    for (size_t i = 0; i < after_.size(); ++i) {
      const auto old = before_index_.find(after_[i].name);
      if (old == before_index_.end()) continue;
      positions.push_back(old->second);
      common.push_back(i);
    }
    const std::vector<bool> increasing = LongestIncreasing(positions);
    std::vector<bool> stays(after_.size(), false);
    for (size_t i = 0; i < common.size(); ++i) stays[common[i]] = increasing[i];
    return stays;
  }

  Difference Whole(Difference::Kind kind, const Part& part) const {
    return {.kind = kind, .what = what_, .name = part.name, .line = part.line};
  }

  void AppendRemoved(size_t* from, size_t to, std::vector<Difference>* out) const {
    for (; *from < to; ++*from) {
      const Part& part = before_[*from];
      if (after_index_.contains(part.name)) continue;
      out->push_back(Whole(Difference::Kind::kRemoved, part));
    }
  }

  bool Counts(absl::string_view field) const { return !absl::c_linear_search(ignored_, field); }

  void AppendChanged(size_t old_index, size_t new_index, bool moved,
                     std::vector<Difference>* out) const {
    const Part &old_part = before_[old_index], &new_part = after_[new_index];
    Difference difference{.kind = Difference::Kind::kChanged, .what = what_, .name = new_part.name};
    for (size_t i = 0; i < new_part.fields.size(); ++i) {
      const auto& [field, before] = old_part.fields[i];
      const std::string& after = new_part.fields[i].second;
      if (before == after || !Counts(field)) continue;
      difference.fields.push_back({std::string(field), before, after});
    }
    if (moved && Counts(kOrder)) {
      difference.fields.push_back(
          {std::string(kOrder), Place(before_, old_index), Place(after_, new_index)});
    }
    if (!difference.fields.empty()) out->push_back(std::move(difference));
  }

  static std::string Place(const Parts& parts, size_t index) {
    return index == 0 ? "first" : absl::StrCat("after ", parts[index - 1].name);
  }

  const std::string what_;
  const Parts &before_, &after_;
  const absl::Span<const std::string> ignored_;
  absl::flat_hash_map<absl::string_view, size_t> before_index_, after_index_;
};

std::vector<OpCount> CountOps(const Graph& before, const Graph& after) {
  std::map<std::string, OpCount> counts;
  for (const auto& node : before.nodes()) ++counts[node->op().name].before;
  for (const auto& node : after.nodes()) ++counts[node->op().name].after;
  std::vector<OpCount> list;
  for (auto& [op, count] : counts) list.push_back({op, count.before, count.after});
  return list;
}

void NoteSuccessors(const Graph& before, const Graph& after, std::vector<Difference>* list) {
  for (Difference& difference : *list) {
    if (difference.what != "node" || difference.kind != Difference::Kind::kRemoved) continue;
    for (const auto& result : before.Find(difference.name)->producer()->results()) {
      const Value* successor = after.Find(result->ref());
      if (successor == nullptr || successor->producer() == nullptr) continue;
      difference.now_in = successor->producer()->result()->ref();
    }
  }
}

constexpr absl::string_view kRed = "\x1b[31m", kGreen = "\x1b[32m", kYellow = "\x1b[33m",
                            kCyan = "\x1b[36m", kPlain = "\x1b[0m";

bool OnlyMoved(const Difference& difference) {
  return difference.fields.size() == 1 && difference.fields[0].field == kOrder;
}

struct Mark {
  char sign;
  absl::string_view colour;
};

Mark MarkOf(const Difference& difference) {
  switch (difference.kind) {
    case Difference::Kind::kAdded:
      return {'+', kGreen};
    case Difference::Kind::kRemoved:
      return {'-', kRed};
    case Difference::Kind::kChanged:
      break;
  }
  return OnlyMoved(difference) ? Mark{'>', kCyan} : Mark{'~', kYellow};
}

// What comes after the sign: a whole line of graph text, or which part changed.
std::string Headline(const Difference& difference) {
  if (difference.kind != Difference::Kind::kChanged) return difference.line;
  if (difference.what == "node" || difference.what == "graph") {
    return difference.what == "node" ? difference.name : "graph";
  }
  return absl::StrCat(difference.what, " ", difference.name);
}

std::string Counts(const GraphDiff& diff) {
  std::map<char, int> counts;
  for (const Difference& difference : diff.differences) ++counts[MarkOf(difference).sign];
  return absl::StrFormat("%d added, %d removed, %d changed, %d moved\n", counts['+'], counts['-'],
                         counts['~'], counts['>']);
}

}  // namespace

absl::Span<const absl::string_view> DiffFields() { return kFields; }

GraphDiff Diff(const Graph& before, const Graph& after, absl::Span<const std::string> ignored) {
  GraphDiff diff;
  const auto compare = [&](absl::string_view what, const Parts& a, const Parts& b, bool ordered) {
    ListDiff(what, a, b, ignored).Run(ordered, &diff.differences);
  };
  compare("graph", PartsOf(before), PartsOf(after), false);
  compare("symbol", PartsOf(before.symbols()), PartsOf(after.symbols()), false);
  compare("input", PartsOf(before.inputs(), "input"), PartsOf(after.inputs(), "input"), true);
  compare("weight", PartsOf(before.weights(), "weight"), PartsOf(after.weights(), "weight"), false);
  compare("state", PartsOf(before.states(), "state"), PartsOf(after.states(), "state"), true);
  compare("node", PartsOf(before.nodes()), PartsOf(after.nodes()), true);
  NoteSuccessors(before, after, &diff.differences);
  diff.ops = CountOps(before, after);
  return diff;
}

std::string Print(const GraphDiff& diff, bool colour) {
  if (diff.empty()) return "";
  const auto shown = [colour](const std::string& text) {
    return colour ? PrintableText(text) : text;
  };
  std::string text;
  for (const Difference& difference : diff.differences) {
    const Mark mark = MarkOf(difference);
    absl::StrAppend(&text, colour ? mark.colour : "", absl::string_view(&mark.sign, 1), " ",
                    shown(Headline(difference)), colour ? kPlain : "", "\n");
    if (!difference.now_in.empty()) {
      absl::StrAppend(&text, "    now in ", shown(difference.now_in), "\n");
    }
    for (const FieldChange& change : difference.fields) {
      absl::StrAppend(&text, absl::StrFormat("    %-10s ", change.field),
                      change.before.empty() ? "none" : shown(change.before), " -> ",
                      change.after.empty() ? "none" : shown(change.after), "\n");
    }
  }
  return text + Counts(diff);
}

std::string PrintOpCounts(const GraphDiff& diff) {
  std::string text = absl::StrFormat("%-18s %7s %7s %7s\n", "op", "before", "after", "change");
  OpCount total{.op = "total"};
  const auto append = [&text](const OpCount& count) {
    absl::StrAppend(&text, absl::StrFormat("%-18s %7d %7d %+7d\n", count.op, count.before,
                                           count.after, count.after - count.before));
  };
  for (const OpCount& count : diff.ops) {
    total.before += count.before;
    total.after += count.after;
    if (count.before != count.after) append(count);
  }
  append(total);
  return text;
}

}  // namespace sluice
