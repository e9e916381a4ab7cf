#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "tools/server/api_error.h"
#include "tools/server/generation_request.h"

namespace sluice::server {

absl::StatusOr<std::vector<int32_t>> ParseTokens(const Fields& fields, absl::string_view name,
                                                 const Json& value) {
  if (!value.is_array()) return fields.Error(name, value, "an array of token ids");
  std::vector<int32_t> tokens;
  tokens.reserve(value.size());
  for (const Json& token : value) {
    // Whether the vocabulary has it is the model's business.
    const int64_t id = IntegerOf(token).value_or(-1);
    if (id < 0 || id > std::numeric_limits<int32_t>::max()) {
      return fields.Error(absl::StrCat(name, "[", tokens.size(), "]"), token, "a token id");
    }
    tokens.push_back(static_cast<int32_t>(id));
  }
  return tokens;
}

absl::StatusOr<std::vector<Prompt>> ParsePrompts(const Fields& fields, absl::string_view name) {
  constexpr absl::string_view kExpected =
      "a text, a list of texts, a list of token ids, or a list of such lists";
  const Json* const value = fields.Find(name);
  if (value == nullptr) {
    return FieldError(fields.PathOf(name),
                      absl::StrCat(fields.PathOf(name), " is missing, expected ", kExpected));
  }
  if (value->is_string()) return std::vector<Prompt>{value->get<std::string>()};
  if (!value->is_array() || value->empty()) return fields.Error(name, *value, kExpected);
  std::vector<Prompt> prompts;
  if (value->front().is_number()) {
    SLUICE_ASSIGN_OR_RETURN(std::vector<int32_t> tokens, ParseTokens(fields, name, *value));
    prompts.emplace_back(std::move(tokens));
    return prompts;
  }
  for (const Json& item : *value) {
    const std::string place = absl::StrCat(name, "[", prompts.size(), "]");
    if (item.is_string()) {
      prompts.emplace_back(item.get<std::string>());
    } else {
      if (!item.is_array()) return fields.Error(place, item, "a text or a list of token ids");
      SLUICE_ASSIGN_OR_RETURN(std::vector<int32_t> tokens, ParseTokens(fields, place, item));
      prompts.emplace_back(std::move(tokens));
    }
  }
  return prompts;
}

}  // namespace sluice::server
