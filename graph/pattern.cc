#include "graph/pattern.h"

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
absl::StatusOr<std::vector<std::string>> ParseValues(absl::string_view list,
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

absl::StatusOr<PatternNode> ParseLine(absl::string_view line) {
  const size_t equals = line.find(" = ");
  const size_t open = line.find('(');
  const size_t close = line.find(')');
  if (equals == line.npos || open == line.npos || close == line.npos || open < equals ||
      close < open) {
    return Bad(line, "expected '%results = op(%operands) {attributes}'");
  }
  PatternNode node;
  SLUICE_ASSIGN_OR_RETURN(node.results, ParseValues(line.substr(0, equals), line));
  node.op = std::string(absl::StripAsciiWhitespace(line.substr(equals + 3, open - equals - 3)));
  SLUICE_ASSIGN_OR_RETURN(node.operands,
                          ParseValues(line.substr(open + 1, close - open - 1), line));
  absl::string_view rest = absl::StripAsciiWhitespace(line.substr(close + 1));
  if (rest.empty()) return node;
  if (!absl::ConsumePrefix(&rest, "{") || !absl::ConsumeSuffix(&rest, "}")) {
    return Bad(line, absl::StrCat("expected {name=value, ...}, got '", rest, "'"));
  }
  for (absl::string_view entry : absl::StrSplit(rest, ',')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(absl::StripAsciiWhitespace(entry), absl::MaxSplits('=', 1));
    if (pair.first.empty() || pair.second.empty()) return Bad(line, "expected name=value");
    node.attrs.emplace_back(pair.first, pair.second);
  }
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

absl::StatusOr<Pattern> ParsePattern(absl::string_view text) {
  Pattern pattern;
  absl::flat_hash_set<std::string> used;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty()) continue;
    SLUICE_ASSIGN_OR_RETURN(PatternNode node, ParseLine(line));
    used.insert(node.operands.begin(), node.operands.end());
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
