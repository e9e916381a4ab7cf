#include "tools/server/text_routes.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "tools/server/api_error.h"
#include "tools/server/responses.h"
#include "tools/server/text_request.h"

namespace sluice::server {
namespace {

HttpReply ReplyOf(HttpCall& call, absl::StatusOr<std::string> body) {
  if (!body.ok()) return ErrorReply(call, body.status());
  return {.body = *std::move(body)};
}

absl::Status CheckTokens(const Tokenizer& tokenizer, const std::string& path,
                         const std::vector<int32_t>& tokens) {
  for (const int32_t token : tokens) {
    if (token < tokenizer.size()) continue;
    return FieldError(path, absl::StrCat(path, ": token id ", token, " is not in 0 to ",
                                         tokenizer.size() - 1, ", the vocabulary"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::vector<int32_t>>> TokensOf(const ServedModel& model,
                                                           const std::vector<Prompt>& inputs) {
  std::vector<std::vector<int32_t>> texts;
  for (const Prompt& input : inputs) {
    const std::string path = absl::StrCat("input[", texts.size(), "]");
    if (const auto* tokens = std::get_if<std::vector<int32_t>>(&input)) {
      texts.push_back(*tokens);
    } else {
      texts.push_back(model.tokenizer->Encode(std::get<std::string>(input)));
    }
    SLUICE_RETURN_IF_ERROR(CheckTokens(*model.tokenizer, path, texts.back()));
    const auto length = static_cast<int64_t>(texts.back().size());
    if (length >= 1 && length <= model.embedder->max_length()) continue;
    return FieldError(path,
                      absl::StrCat(path, " has ", length, " tokens, expected 1 to ",
                                   model.embedder->max_length(), ", the maximum context length"),
                      length > 0 ? "context_length_exceeded" : "");
  }
  return texts;
}

absl::StatusOr<std::string> EmbedBody(HttpCall& call, const Json& body, const ServedModel& model) {
  if (model.embedder == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", model.id,
                     "' is a decoder, which writes text and makes no vectors: serve an encoder "
                     "(bert) for them"));
  }
  SLUICE_ASSIGN_OR_RETURN(const EmbeddingRequest request, ParseEmbedding(body));
  if (request.dimensions != 0 && request.dimensions != model.embedder->width()) {
    return FieldError("dimensions", absl::StrCat("dimensions is ", request.dimensions,
                                                 ", expected ", model.embedder->width(),
                                                 ": the model's vectors cannot be shortened"));
  }
  SLUICE_ASSIGN_OR_RETURN(const auto texts, TokensOf(model, request.inputs));
  for (const auto& text : texts) {
    call.record.usage.prompt_tokens += static_cast<int64_t>(text.size());
  }
  SLUICE_ASSIGN_OR_RETURN(const auto vectors,
                          model.embedder->Embed(texts, [&] { return !call.IsClientGone(); }));
  return EmbeddingBody(model.id, vectors, request.base64, call.record.usage.prompt_tokens);
}

absl::StatusOr<std::string> TokenizeBody(const Json& body, const ServedModel& model) {
  SLUICE_ASSIGN_OR_RETURN(const TokenizeRequest request, ParseTokenize(body));
  const std::vector<TokenId> tokens = model.tokenizer->Encode(
      request.content,
      {.add_special = request.add_special, .parse_special = request.parse_special});
  return Json{{"tokens", tokens}}.dump();
}

absl::StatusOr<std::string> DetokenizeBody(const Json& body, const ServedModel& model) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens, ParseDetokenize(body));
  SLUICE_RETURN_IF_ERROR(CheckTokens(*model.tokenizer, "tokens", tokens));
  const std::string text = model.tokenizer->Detokenize(tokens, {.special = true});
  return Json{{"content", text}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

HttpReply Embed(HttpCall& call, const Json& body, const ServedModel& model) {
  return ReplyOf(call, EmbedBody(call, body, model));
}

HttpReply Tokenize(HttpCall& call, const Json& body, const ServedModel& model) {
  return ReplyOf(call, TokenizeBody(body, model));
}

HttpReply Detokenize(HttpCall& call, const Json& body, const ServedModel& model) {
  return ReplyOf(call, DetokenizeBody(body, model));
}

}  // namespace sluice::server
