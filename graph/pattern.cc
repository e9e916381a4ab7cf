#include "graph/pattern.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

absl::Status Bad(absl::string_view line, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("pattern line '", line, "': ", what));
}

// "%a, %b" to {"a", "b"}.
absl::StatusOr<std::vector<std::string>> ParseResults(absl::string_view list,
                                                      absl::string_view line) {
  std::vector<std::string> names;
  for (absl::string_view item : absl::StrSplit(list, ',')) {
    item = absl::StripAsciiWhitespace(item);
    if (!absl::ConsumePrefix(&item, "%") || item.empty()) {
      return Bad(line, absl::StrCat("expected %name, got '", item, "'"));
    }
    names.emplace_back(item);
  }
  return names;
}

absl::StatusOr<std::vector<PatternOperand>> ParseOperands(absl::string_view list,
                                                          absl::string_view line) {
  std::vector<PatternOperand> operands;
  for (absl::string_view item : absl::StrSplit(list, ',')) {
    item = absl::StripAsciiWhitespace(item);
    PatternOperand& operand = operands.emplace_back();
    if (item == "_") continue;
    operand.is_optional = absl::ConsumeSuffix(&item, "?");
    operand.is_weight = absl::ConsumePrefix(&item, "@");
    if ((!operand.is_weight && !absl::ConsumePrefix(&item, "%")) || item.empty()) {
      return Bad(line, absl::StrCat("expected %name, @name or _, got '", item, "'"));
    }
    operand.name = std::string(item);
  }
  return operands;
}

// "{eps=$eps}" into the node.
absl::Status ParseAttributes(absl::string_view list, absl::string_view line, PatternNode* node) {
  if (list.empty()) return absl::OkStatus();
  if (!absl::ConsumePrefix(&list, "{") || !absl::ConsumeSuffix(&list, "}")) {
    return Bad(line, absl::StrCat("expected {name=$capture, ...}, got '", list, "'"));
  }
  for (absl::string_view entry : absl::StrSplit(list, ',')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(absl::StripAsciiWhitespace(entry), absl::MaxSplits("=$", 1));
    if (pair.first.empty() || pair.second.empty()) return Bad(line, "expected name=$capture");
    node->attrs.emplace_back(pair.first, pair.second);
  }
  return absl::OkStatus();
}

absl::StatusOr<PatternNode> ParseLine(absl::string_view line) {
  const size_t equals = line.find(" = ");
  const size_t open = line.find('(');
  const size_t close = line.find(')');
  if (equals == line.npos || open == line.npos || close == line.npos || open < equals ||
      close < open) {
    return Bad(line, "expected '%results = op(%operands) {attributes} if %operand'");
  }
  PatternNode node;
  SLUICE_ASSIGN_OR_RETURN(node.results, ParseResults(line.substr(0, equals), line));
  node.op = std::string(absl::StripAsciiWhitespace(line.substr(equals + 3, open - equals - 3)));
  SLUICE_ASSIGN_OR_RETURN(node.operands,
                          ParseOperands(line.substr(open + 1, close - open - 1), line));
  std::pair<absl::string_view, absl::string_view> rest =
      absl::StrSplit(line.substr(close + 1), absl::MaxSplits(" if %", 1));
  node.condition = std::string(rest.second);
  SLUICE_RETURN_IF_ERROR(ParseAttributes(absl::StripAsciiWhitespace(rest.first), line, &node));
  return node;
}

}  // namespace

std::pair<int, int> Pattern::FindProducer(absl::string_view value) const {
  for (size_t n = 0; n < nodes.size(); ++n) {
    for (size_t r = 0; r < nodes[n].results.size(); ++r) {
      if (nodes[n].results[r] == value) return {static_cast<int>(n), static_cast<int>(r)};
    }
  }
  return {-1, -1};
}

std::vector<PatternOperand> Pattern::FreeValues() const {
  std::vector<PatternOperand> free;
  for (const PatternNode& node : nodes) {
    for (const PatternOperand& operand : node.operands) {
      if (operand.name.empty() || FindProducer(operand.name).first >= 0) continue;
      auto known = std::find_if(free.begin(), free.end(),
                                [&](const PatternOperand& f) { return f.name == operand.name; });
      if (known == free.end()) known = free.insert(free.end(), operand);
      known->is_optional |= operand.is_optional || node.condition == operand.name;
      known->is_weight |= operand.is_weight;
    }
  }
  return free;
}

absl::StatusOr<Pattern> ParsePattern(absl::string_view text) {
  Pattern pattern;
  absl::flat_hash_set<std::string> used;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty()) continue;
    SLUICE_ASSIGN_OR_RETURN(PatternNode node, ParseLine(line));
    for (const PatternOperand& operand : node.operands) used.insert(operand.name);
    for (const std::string& result : node.results) {
      if (used.contains(result) || pattern.FindProducer(result).first >= 0) {
        return Bad(line, absl::StrCat("%", result, " is used before or defined twice"));
      }
    }
    pattern.nodes.push_back(std::move(node));
  }
  if (pattern.nodes.empty()) return absl::InvalidArgumentError("a pattern has at least one line");
  return pattern;
}

}  // namespace sluice
