#include "backends/placement.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace sluice {

absl::StatusOr<PlaceRule> ParsePlaceRule(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "', expected REGEX=DEVICE, such as 'exps=cpu'"));
  }
  PlaceRule rule{.pattern = text.substr(0, equals), .device = text.substr(equals + 1)};
  try {
    rule.regex = std::regex(rule.pattern, std::regex::ECMAScript | std::regex::nosubs);
  } catch (const std::regex_error& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", rule.pattern, "' is no regular expression: ", error.what()));
  }
  return rule;
}

bool Fits(const PlaceRule& rule, const Node& node) {
  const auto fits = [&](const Value& value) { return std::regex_search(value.name(), rule.regex); };
  return std::any_of(node.results().begin(), node.results().end(),
                     [&](const auto& result) { return fits(*result); }) ||
         std::any_of(node.operands().begin(), node.operands().end(), [&](const Value* operand) {
           return operand != nullptr && operand->kind() == Value::Kind::kWeight && fits(*operand);
         });
}

Backend* Placement::Find(absl::string_view device) const {
  for (const auto& backend : devices) {
    if (backend->name() == device) return backend.get();
  }
  return nullptr;
}

}  // namespace sluice
