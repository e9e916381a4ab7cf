#include "tools/server/text_request.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "tools/server/api_error.h"

namespace sluice::server {

absl::StatusOr<EmbeddingRequest> ParseEmbedding(const Json& body) {
  const Fields fields(body);
  EmbeddingRequest request;
  SLUICE_ASSIGN_OR_RETURN(request.inputs, ParsePrompts(fields, "input"));
  if (static_cast<int64_t>(request.inputs.size()) > kMostInputs) {
    return FieldError("input", absl::StrCat("input is a list of ", request.inputs.size(),
                                            " texts, expected ", kMostInputs, " at most"));
  }
  std::string format = "float";
  SLUICE_RETURN_IF_ERROR(fields.Read("encoding_format", &format));
  if (format != "float" && format != "base64") {
    return fields.Error("encoding_format", format, "\"float\" or \"base64\"");
  }
  request.base64 = format == "base64";
  SLUICE_RETURN_IF_ERROR(
      fields.Read("dimensions", 1, std::numeric_limits<int32_t>::max(), &request.dimensions));
  return request;
}

absl::StatusOr<TokenizeRequest> ParseTokenize(const Json& body) {
  const Fields fields(body);
  TokenizeRequest request;
  if (fields.Find("content") == nullptr) {
    return FieldError("content", "content is missing, expected a text");
  }
  SLUICE_RETURN_IF_ERROR(fields.Read("content", &request.content));
  SLUICE_RETURN_IF_ERROR(fields.Read("add_special", &request.add_special));
  SLUICE_RETURN_IF_ERROR(fields.Read("parse_special", &request.parse_special));
  return request;
}

absl::StatusOr<std::vector<int32_t>> ParseDetokenize(const Json& body) {
  const Fields fields(body);
  const Json* const tokens = fields.Find("tokens");
  if (tokens == nullptr) {
    return FieldError("tokens", "tokens is missing, expected an array of token ids");
  }
  return ParseTokens(fields, "tokens", *tokens);
}

}  // namespace sluice::server
