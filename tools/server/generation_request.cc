#include "tools/server/generation_request.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/status_macros.h"
#include "tools/server/api_error.h"

namespace sluice::server {
namespace {

constexpr int64_t kMostTokens = std::numeric_limits<int32_t>::max();

absl::Status RefuseUnlessEmpty(const Fields& fields, absl::string_view name,
                               absl::string_view why) {
  const Json* const value = fields.Find(name);
  if (value == nullptr) return absl::OkStatus();
  if (value->is_structured() ? value->empty() : *value == "") return absl::OkStatus();
  return FieldError(fields.PathOf(name), absl::StrCat(fields.PathOf(name), ": ", why));
}

// The range of a sampler's option is the sampler's to say; it begins with the option's name, which
// is the field's.
absl::Status CheckSampling(const SamplerOptions& sampling) {
  const absl::Status status = sampling.Check();
  if (status.ok()) return status;
  return FieldError(status.message().substr(0, status.message().find(' ')), status.message());
}

absl::Status ReadSampling(const Fields& fields, GenerationRequest* request) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  SamplerOptions& s = request->sampling;
  SLUICE_RETURN_IF_ERROR(fields.Read("temperature", &s.temperature));
  SLUICE_RETURN_IF_ERROR(fields.Read("top_k", 0, kMost, &s.top_k));
  SLUICE_RETURN_IF_ERROR(fields.Read("typical_p", &s.typical_p));
  SLUICE_RETURN_IF_ERROR(fields.Read("top_p", &s.top_p));
  SLUICE_RETURN_IF_ERROR(fields.Read("min_p", &s.min_p));
  SLUICE_RETURN_IF_ERROR(fields.Read("repeat_penalty", &s.repeat_penalty));
  SLUICE_RETURN_IF_ERROR(fields.Read("frequency_penalty", &s.frequency_penalty));
  SLUICE_RETURN_IF_ERROR(fields.Read("presence_penalty", &s.presence_penalty));
  SLUICE_RETURN_IF_ERROR(fields.Read("repeat_last_n", -1, kMost, &s.repeat_last_n));
  int64_t seed = -1;  // as llama.cpp has it: a random one
  SLUICE_RETURN_IF_ERROR(fields.Read("seed", -1, kMost, &seed));
  request->has_seed = seed >= 0;
  if (request->has_seed) s.seed = static_cast<uint64_t>(seed);
  return CheckSampling(s);
}

absl::Status ReadStops(const Fields& fields, GenerationRequest* request) {
  const Json* const stop = fields.Find("stop");
  if (stop == nullptr) return absl::OkStatus();
  const Json list = stop->is_string() ? Json::array({*stop}) : *stop;
  const std::string expected =
      absl::StrCat("a text or up to ", kMostStops, " texts of 1 to ", kMostStopBytes, " bytes");
  if (!list.is_array() || static_cast<int64_t>(list.size()) > kMostStops) {
    return fields.Error("stop", *stop, expected);
  }
  for (const Json& text : list) {
    if (!text.is_string()) return fields.Error("stop", *stop, expected);
    request->stops.push_back(text.get<std::string>());
    const auto size = static_cast<int64_t>(request->stops.back().size());
    if (size < 1 || size > kMostStopBytes) return fields.Error("stop", text, expected);
  }
  return absl::OkStatus();
}

absl::Status ReadStream(const Fields& fields, GenerationRequest* request) {
  SLUICE_RETURN_IF_ERROR(fields.Read("stream", &request->stream));
  const Json* const options = fields.Find("stream_options");
  if (options == nullptr) return absl::OkStatus();
  if (!options->is_object()) return fields.Error("stream_options", *options, "an object");
  return Fields(*options, "stream_options.").Read("include_usage", &request->include_usage);
}

absl::Status RefuseWhatIsMissing(const Fields& fields) {
  SLUICE_RETURN_IF_ERROR(
      RefuseUnlessEmpty(fields, "logit_bias", "biases are not supported, expected none"));
  SLUICE_RETURN_IF_ERROR(
      RefuseUnlessEmpty(fields, "tools", "tools are not supported, expected none"));
  SLUICE_RETURN_IF_ERROR(
      RefuseUnlessEmpty(fields, "functions", "functions are not supported, expected none"));
  return RefuseUnlessEmpty(fields, "suffix", "text cannot be inserted, expected no suffix");
}

// What both routes have.
absl::Status ReadCommon(const Fields& fields, const RequestDefaults& defaults,
                        GenerationRequest* request) {
  request->sampling = defaults.sampling;
  SLUICE_RETURN_IF_ERROR(ReadSampling(fields, request));
  SLUICE_RETURN_IF_ERROR(fields.Read("max_tokens", 0, kMostTokens, &request->max_tokens));
  SLUICE_RETURN_IF_ERROR(ReadStops(fields, request));
  SLUICE_RETURN_IF_ERROR(fields.Read("n", 1, kMostTokens, &request->choices));
  const int64_t prompts = request->is_chat ? 1 : static_cast<int64_t>(request->prompts.size());
  if (request->choices > defaults.max_choices / prompts) {
    return FieldError(
        "n", absl::StrCat("n is ", request->choices, " for ", prompts,
                          prompts == 1 ? " prompt" : " prompts", ", expected at most ",
                          defaults.max_choices, " answers in all: more never fit into the queue"));
  }
  SLUICE_RETURN_IF_ERROR(ReadStream(fields, request));
  SLUICE_RETURN_IF_ERROR(fields.Read("ignore_eos", &request->ignores_end));
  std::string ignored;
  SLUICE_RETURN_IF_ERROR(fields.Read("model", &ignored));
  SLUICE_RETURN_IF_ERROR(fields.Read("user", &ignored));
  return RefuseWhatIsMissing(fields);
}

absl::StatusOr<ChatRole> ParseRole(const Fields& message) {
  std::string role;
  SLUICE_RETURN_IF_ERROR(message.Read("role", &role));
  if (role == "system" || role == "developer") return ChatRole::kSystem;
  if (role == "user") return ChatRole::kUser;
  if (role == "assistant") return ChatRole::kAssistant;
  return message.Error("role", role,
                       "system, developer, user or assistant (the formats of conversations that "
                       "are known have no tools)");
}

// A text, or a list of parts that are texts.
absl::StatusOr<std::string> ParseContent(const Fields& message) {
  const Json* const content = message.Find("content");
  if (content == nullptr) return "";
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) {
    return message.Error("content", *content, "a text or a list of parts");
  }
  std::string text;
  for (size_t i = 0; i < content->size(); ++i) {
    const std::string place = absl::StrCat("content[", i, "]");
    const Json& part = (*content)[i];
    if (!part.is_object()) return message.Error(place, part, "an object");
    const Fields fields(part, absl::StrCat(message.PathOf(place), "."));
    std::string type, piece;
    SLUICE_RETURN_IF_ERROR(fields.Read("type", &type));
    if (type != "text") return fields.Error("type", type, "\"text\"");
    SLUICE_RETURN_IF_ERROR(fields.Read("text", &piece));
    text += piece;
  }
  return text;
}

absl::Status ReadMessages(const Fields& fields, GenerationRequest* request) {
  const Json* const messages = fields.Find("messages");
  if (messages == nullptr) {
    return FieldError("messages", "messages is missing, expected a list of messages");
  }
  if (!messages->is_array() || messages->empty()) {
    return fields.Error("messages", *messages, "a list of messages, not empty");
  }
  for (size_t i = 0; i < messages->size(); ++i) {
    const std::string place = absl::StrCat("messages[", i, "]");
    const Json& item = (*messages)[i];
    if (!item.is_object()) return fields.Error(place, item, "an object");
    const Fields message(item, place + ".");
    SLUICE_ASSIGN_OR_RETURN(const ChatRole role, ParseRole(message));
    SLUICE_ASSIGN_OR_RETURN(std::string content, ParseContent(message));
    SLUICE_RETURN_IF_ERROR(RefuseUnlessEmpty(message, "tool_calls", "tools are not supported"));
    request->messages.push_back({role, std::move(content)});
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GenerationRequest> ParseCompletion(const Json& body,
                                                  const RequestDefaults& defaults) {
  const Fields fields(body);
  GenerationRequest request;
  SLUICE_ASSIGN_OR_RETURN(request.prompts, ParsePrompts(fields, "prompt"));
  SLUICE_RETURN_IF_ERROR(ReadCommon(fields, defaults, &request));
  SLUICE_RETURN_IF_ERROR(fields.Read("echo", &request.echo));
  int64_t best_of = request.choices;
  SLUICE_RETURN_IF_ERROR(fields.Read("best_of", request.choices, request.choices, &best_of));
  int64_t logprobs = -1;
  SLUICE_RETURN_IF_ERROR(fields.Read("logprobs", 0, kMostTopLogprobs, &logprobs));
  request.wants_logprobs = logprobs >= 0;
  if (request.wants_logprobs) request.top_logprobs = logprobs;
  if (request.wants_logprobs && request.echo) {
    return FieldError("echo",
                      "echo is true together with logprobs, expected one of them: the prompt's "
                      "tokens have no logprobs");
  }
  return request;
}

absl::StatusOr<GenerationRequest> ParseChat(const Json& body, const RequestDefaults& defaults) {
  const Fields fields(body);
  GenerationRequest request{.is_chat = true};
  SLUICE_RETURN_IF_ERROR(ReadMessages(fields, &request));
  SLUICE_RETURN_IF_ERROR(ReadCommon(fields, defaults, &request));
  // The newer name of max_tokens counts if both are there.
  SLUICE_RETURN_IF_ERROR(fields.Read("max_completion_tokens", 0, kMostTokens, &request.max_tokens));
  SLUICE_RETURN_IF_ERROR(fields.Read("logprobs", &request.wants_logprobs));
  SLUICE_RETURN_IF_ERROR(fields.Read("top_logprobs", 0, kMostTopLogprobs, &request.top_logprobs));
  if (request.top_logprobs > 0 && !request.wants_logprobs) {
    return FieldError("top_logprobs", absl::StrCat("top_logprobs is ", request.top_logprobs,
                                                   " without logprobs, expected them to be true"));
  }
  return request;
}

}  // namespace sluice::server
