// libFuzzer target: any body is read as each of the requests or refused with an error that can be
// sent, and what is read keeps the bounds that the rest of the server relies on.
// The seed corpus is tests/data/requests.
#include <cstddef>
#include <cstdint>

#include "tests/support/fuzz_vocabulary.h"
#include "tools/server/answer_format.h"
#include "tools/server/api_error.h"
#include "tools/server/request_fields.h"
#include "tools/server/text_request.h"

namespace sluice::server {
namespace {

const RequestDefaults kDefaults = {.max_choices = 8};

void CheckError(const absl::Status& status) {
  Require(HttpCodeOf(status) == 400, "errors are the client's");
  const Json error = Json::parse(ErrorBody(status), nullptr, /*allow_exceptions=*/false);
  Require(error.is_object() && !error["error"]["message"].empty(), "errors can be sent");
}

void CheckTable(const Json& body) {
  for (const FieldObjects object : {kChatBody, kCompletionBody, kEmbeddingBody, kTokenizeBody}) {
    const auto unknown = CheckFields(body, object);
    if (!unknown.ok()) {
      CheckError(unknown.status());
      continue;
    }
    for (const char c : unknown->text) Require(c >= ' ' && c <= '~', "a header can have it");
  }
}

void CheckGeneration(const absl::StatusOr<GenerationRequest>& request) {
  if (!request.ok()) return CheckError(request.status());
  Require(request->sampling.Check().ok(), "the sampler takes its options");
  Require(request->choices >= 1, "there is an answer");
  Require(request->is_chat ? !request->messages.empty() : !request->prompts.empty(),
          "there is a prompt");
  Require(request->choices * static_cast<int64_t>(request->prompts.size()) <= kDefaults.max_choices,
          "the answers fit into the queue");
  Require(request->max_tokens.value_or(0) >= -1, "no negative lengths");
  for (const int32_t token : request->stop_tokens) Require(token >= 0, "stop tokens are tokens");
  Require(static_cast<int64_t>(request->stops.size()) <= kMostStops, "few stop strings");
  for (const std::string& stop : request->stops) Require(!stop.empty(), "none of them empty");
  Require(request->top_logprobs >= 0 && request->top_logprobs <= kMostTopLogprobs, "few logprobs");
}

}  // namespace
}  // namespace sluice::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice::server;  // NOLINT(google-build-using-namespace): one file's entry point
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto body = ParseObject(text);
  if (!body.ok()) {
    CheckError(body.status());
    return 0;
  }
  CheckTable(*body);
  if (const auto format = ReadAnswerFormat(*body, text); !format.ok()) CheckError(format.status());
  CheckGeneration(ParseCompletion(*body, kDefaults));
  CheckGeneration(ParseChat(*body, kDefaults));
  if (const auto request = ParseEmbedding(*body); !request.ok()) CheckError(request.status());
  if (const auto request = ParseTokenize(*body); !request.ok()) CheckError(request.status());
  if (const auto request = ParseDetokenize(*body); !request.ok()) CheckError(request.status());
  return 0;
}
