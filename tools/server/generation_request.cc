#include "tools/server/generation_request.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "tools/server/api_error.h"

namespace sluice::server {
namespace {

constexpr int64_t kMostTokens = std::numeric_limits<int32_t>::max();

// The range of a sampler's option is the sampler's to say; it begins with the option's name, which
// is the field's, or that of another name for it.
absl::Status CheckSampling(const Fields& fields, const SamplerOptions& sampling) {
  const absl::Status status = sampling.Check();
  if (status.ok()) return status;
  const absl::string_view message = status.message();
  absl::string_view name = message.substr(0, message.find(' '));
  const absl::string_view rest = message.substr(name.size());
  if (name == "repeat_penalty") name = fields.Which({name, "repetition_penalty"});
  return FieldError(name, absl::StrCat(name, rest));
}

// A token's bias as OpenAI has it, {"50256": -100}, or as llama.cpp has it, [[50256, false]].
absl::StatusOr<std::pair<int32_t, float>> ParseBias(const Fields& fields, const Json& token,
                                                    const Json& bias) {
  constexpr char kName[] = "logit_bias";
  int64_t id = -1;
  if (!token.is_string()) {
    id = IntegerOf(token).value_or(-1);
  } else if (!absl::SimpleAtoi(token.get_ref<const std::string&>(), &id)) {
    id = -1;
  }
  if (id < 0 || id > std::numeric_limits<int32_t>::max()) {
    return fields.Error(kName, token, "token ids and their biases, {\"50256\": -100}");
  }
  const auto place = static_cast<int32_t>(id);
  if (bias == false) return std::pair(place, -std::numeric_limits<float>::infinity());
  if (!bias.is_number() || std::abs(bias.get<double>()) > kMostBias) {
    return fields.Error(absl::StrCat(kName, ".", id), bias,
                        absl::StrCat("a number from -", kMostBias, " to ", kMostBias));
  }
  return std::pair(place, bias.get<float>());
}

absl::Status ReadBiases(const Fields& fields, SamplerOptions* sampling) {
  constexpr char kName[] = "logit_bias";
  const Json* const biases = fields.Find(kName);
  if (biases == nullptr) return absl::OkStatus();
  if (!biases->is_structured() || static_cast<int64_t>(biases->size()) > kMostBiases) {
    return fields.Error(kName, *biases,
                        absl::StrCat("an object with up to ", kMostBiases, " token ids"));
  }
  for (const auto& [key, value] : biases->items()) {
    const bool is_pair = value.is_array() && value.size() == 2;
    if (biases->is_array() && !is_pair) return fields.Error(kName, value, "[TOKEN ID, BIAS]");
    SLUICE_ASSIGN_OR_RETURN(sampling->logit_bias.emplace_back(),
                            biases->is_array() ? ParseBias(fields, value[0], value[1])
                                               : ParseBias(fields, Json(key), value));
  }
  return absl::OkStatus();
}

absl::Status ReadSampling(const Fields& fields, GenerationRequest* request) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  SamplerOptions& s = request->sampling;
  SLUICE_RETURN_IF_ERROR(fields.Read("temperature", &s.temperature));
  SLUICE_RETURN_IF_ERROR(fields.Read("top_k", -1, kMost, &s.top_k));
  s.top_k = std::max<int64_t>(s.top_k, 0);  // vLLM's -1 is all, as 0 is
  SLUICE_RETURN_IF_ERROR(fields.Read("typical_p", &s.typical_p));
  SLUICE_RETURN_IF_ERROR(fields.Read("top_p", &s.top_p));
  SLUICE_RETURN_IF_ERROR(fields.Read("min_p", &s.min_p));
  SLUICE_RETURN_IF_ERROR(
      fields.Read(fields.Which({"repeat_penalty", "repetition_penalty"}), &s.repeat_penalty));
  SLUICE_RETURN_IF_ERROR(fields.Read("frequency_penalty", &s.frequency_penalty));
  SLUICE_RETURN_IF_ERROR(fields.Read("presence_penalty", &s.presence_penalty));
  SLUICE_RETURN_IF_ERROR(fields.Read("repeat_last_n", -1, kMost, &s.repeat_last_n));
  SLUICE_RETURN_IF_ERROR(ReadBiases(fields, &s));
  int64_t seed = -1;  // as llama.cpp has it: a random one
  SLUICE_RETURN_IF_ERROR(fields.Read("seed", -1, kMost, &seed));
  request->has_seed = seed >= 0;
  if (request->has_seed) s.seed = static_cast<uint64_t>(seed);
  return CheckSampling(fields, s);
}

absl::Status ReadStops(const Fields& fields, GenerationRequest* request) {
  const Json* const stop = fields.Find("stop");
  if (stop == nullptr) return absl::OkStatus();
  const Json list = stop->is_string() ? Json::array({*stop}) : *stop;
  const std::string expected =
      absl::StrCat("a text or up to ", kMostStops, " texts of at most ", kMostStopBytes, " bytes");
  if (!list.is_array() || static_cast<int64_t>(list.size()) > kMostStops) {
    return fields.Error("stop", *stop, expected);
  }
  for (const Json& text : list) {
    if (!text.is_string()) return fields.Error("stop", *stop, expected);
    if (text == "") continue;  // which clients send for none
    request->stops.push_back(text.get<std::string>());
    if (static_cast<int64_t>(request->stops.back().size()) > kMostStopBytes) {
      return fields.Error("stop", text, expected);
    }
  }
  return absl::OkStatus();
}

absl::Status ReadEnd(const Fields& fields, GenerationRequest* request) {
  // The newest name counts first.
  const absl::string_view limit =
      fields.Which({"max_completion_tokens", "max_tokens", "n_predict"});
  if (fields.Find(limit) != nullptr) {
    SLUICE_RETURN_IF_ERROR(fields.Read(limit, -1, kMostTokens, &request->max_tokens.emplace(-1)));
  }
  SLUICE_RETURN_IF_ERROR(ReadStops(fields, request));
  if (const Json* const tokens = fields.Find("stop_token_ids"); tokens != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(request->stop_tokens, ParseTokens(fields, "stop_token_ids", *tokens));
    if (static_cast<int64_t>(request->stop_tokens.size()) > kMostStops) {
      return fields.Error("stop_token_ids", *tokens,
                          absl::StrCat("at most ", kMostStops, " token ids"));
    }
  }
  return fields.Read("ignore_eos", &request->ignores_end);
}

absl::Status ReadStream(const Fields& fields, GenerationRequest* request) {
  SLUICE_RETURN_IF_ERROR(fields.Read("stream", &request->stream));
  SLUICE_RETURN_IF_ERROR(fields.Read("return_progress", &request->tells_progress));
  if (fields.Find("sse_ping_interval") != nullptr) {
    int64_t seconds = 0;
    SLUICE_RETURN_IF_ERROR(fields.Read("sse_ping_interval", -1, kMostTokens, &seconds));
    if (seconds != 0) request->ping = std::chrono::seconds(seconds);
  }
  const Json* const options = fields.Find("stream_options");
  if (options == nullptr) return absl::OkStatus();
  if (!options->is_object()) return fields.Error("stream_options", *options, "an object");
  return Fields(*options, "stream_options.").Read("include_usage", &request->include_usage);
}

absl::Status ReadChoices(const Fields& fields, const RequestDefaults& defaults,
                         GenerationRequest* request) {
  const absl::string_view name = fields.Which({"n", "n_cmpl"});
  SLUICE_RETURN_IF_ERROR(fields.Read(name, 1, kMostTokens, &request->choices));
  const int64_t prompts = request->is_chat ? 1 : static_cast<int64_t>(request->prompts.size());
  if (request->choices > defaults.max_choices / prompts) {
    return FieldError(
        name, absl::StrCat(name, " is ", request->choices, " for ", prompts,
                           prompts == 1 ? " prompt" : " prompts", ", expected at most ",
                           defaults.max_choices, " answers in all: more never fit into the queue"));
  }
  int64_t best_of = request->choices;
  return fields.Read("best_of", request->choices, request->choices, &best_of);
}

// What both routes have.
absl::Status ReadCommon(const Fields& fields, const RequestDefaults& defaults,
                        GenerationRequest* request) {
  request->sampling = defaults.sampling;
  SLUICE_RETURN_IF_ERROR(ReadSampling(fields, request));
  SLUICE_RETURN_IF_ERROR(ReadEnd(fields, request));
  SLUICE_RETURN_IF_ERROR(ReadChoices(fields, defaults, request));
  SLUICE_RETURN_IF_ERROR(ReadStream(fields, request));
  std::string ignored;
  SLUICE_RETURN_IF_ERROR(fields.Read("model", &ignored));
  return fields.Read("user", &ignored);
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
  SLUICE_RETURN_IF_ERROR(fields.Read("logprobs", &request.wants_logprobs));
  SLUICE_RETURN_IF_ERROR(fields.Read("top_logprobs", 0, kMostTopLogprobs, &request.top_logprobs));
  if (request.top_logprobs > 0 && !request.wants_logprobs) {
    return FieldError("top_logprobs", absl::StrCat("top_logprobs is ", request.top_logprobs,
                                                   " without logprobs, expected them to be true"));
  }
  return request;
}

}  // namespace sluice::server
