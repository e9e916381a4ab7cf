#include "graph/type_pattern.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

std::string TextOf(const DimExpression::Term& term) {
  return term.name.empty() ? absl::StrCat(term.number) : term.name;
}

absl::StatusOr<DimExpression::Term> ParseTerm(absl::string_view text) {
  DimExpression::Term term;
  if (absl::SimpleAtoi(text, &term.number)) return term;
  const bool is_name = !text.empty() && absl::ascii_isalpha(text[0]) &&
                       std::all_of(text.begin(), text.end(),
                                   [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
  if (!is_name) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is neither the name of a dimension nor a number"));
  }
  term.name = std::string(text);
  return term;
}

}  // namespace

std::string DimExpression::ToString() const {
  return op == '\0' ? TextOf(left) : absl::StrCat(TextOf(left), std::string(1, op), TextOf(right));
}

absl::StatusOr<DimExpression> ParseDimExpression(absl::string_view text) {
  DimExpression expression;
  const size_t at = text.find_first_of("*+/");
  SLUICE_ASSIGN_OR_RETURN(expression.left, ParseTerm(text.substr(0, at)));
  if (at == absl::string_view::npos) return expression;
  expression.op = text[at];
  SLUICE_ASSIGN_OR_RETURN(expression.right, ParseTerm(text.substr(at + 1)));
  return expression;
}

bool HasTypePattern(absl::string_view doc) {
  const size_t open = doc.find('[');
  return open != absl::string_view::npos && open < doc.find(' ');
}

absl::StatusOr<TypePattern> ParseTypePattern(absl::string_view doc) {
  TypePattern pattern;
  absl::string_view rest = doc;
  pattern.is_state = absl::ConsumePrefix(&rest, "state<");
  const size_t open = rest.find('[');
  const size_t close = rest.find(']');
  if (open == absl::string_view::npos || close == absl::string_view::npos || close < open) {
    return absl::InvalidArgumentError(
        absl::StrCat("the doc \"", doc, "\" starts with no type pattern"));
  }
  const absl::string_view dtypes = rest.substr(0, open);
  pattern.accepts_any = dtypes == "any";
  for (const absl::string_view name : absl::StrSplit(dtypes, '|')) {
    const std::optional<DType> dtype = DTypeFromName(name);
    if (dtype.has_value()) pattern.dtypes.push_back(*dtype);
    if (dtype.has_value() || pattern.accepts_any) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("the doc \"", doc, "\" has an unknown dtype, \"", name, "\""));
  }
  std::vector<absl::string_view> dims =
      absl::StrSplit(rest.substr(open + 1, close - open - 1), ',', absl::SkipEmpty());
  pattern.binds_leading = !dims.empty() && dims[0] == "...";
  pattern.has_leading = pattern.binds_leading || (!dims.empty() && dims[0] == "*");
  if (pattern.has_leading) dims.erase(dims.begin());
  for (const absl::string_view dim : dims) {
    SLUICE_ASSIGN_OR_RETURN(pattern.dims.emplace_back(), ParseDimExpression(dim));
  }
  const size_t length = close + 1 + (pattern.is_state ? 7 : 0);  // "state<" and '>'
  pattern.text = std::string(doc.substr(0, length));
  return pattern;
}

}  // namespace sluice
