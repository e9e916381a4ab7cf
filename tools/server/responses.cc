#include "tools/server/responses.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace sluice::server {
namespace {

using Json = nlohmann::ordered_json;

// JSON has no infinity; OpenAI's smallest logprob.
constexpr double kLeastLogprob = -9999;

// Tokens and answers may hold bytes that are not UTF-8.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

double Finite(double logprob) { return std::max(logprob, kLeastLogprob); }

int64_t CountCharacters(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

Json ChatLogprob(const std::string& text, double logprob) {
  const std::vector<uint8_t> bytes(text.begin(), text.end());
  return {{"token", text}, {"logprob", Finite(logprob)}, {"bytes", bytes}};
}

Json ChatLogprobs(const std::vector<LogprobEntry>& entries) {
  Json content = Json::array();
  for (const LogprobEntry& entry : entries) {
    Json item = ChatLogprob(entry.text, entry.logprob);
    Json& top = item["top_logprobs"] = Json::array();
    for (const auto& likely : entry.top) top.push_back(ChatLogprob(likely.text, likely.logprob));
    content.push_back(std::move(item));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json CompletionLogprobs(const std::vector<LogprobEntry>& entries, int64_t* offset) {
  Json tokens = Json::array(), logprobs = Json::array(), tops = Json::array(),
       offsets = Json::array();
  for (const LogprobEntry& entry : entries) {
    tokens.push_back(entry.text);
    logprobs.push_back(Finite(entry.logprob));
    Json top = Json::object();
    for (const auto& likely : entry.top) top[likely.text] = Finite(likely.logprob);
    tops.push_back(entry.top.empty() ? Json(nullptr) : std::move(top));
    offsets.push_back(*offset);
    *offset += CountCharacters(entry.text);
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

Json LogprobsOf(const ResponseInfo& info, const TextPart& part, int64_t* offset) {
  if (!info.has_logprobs) return nullptr;
  return info.is_chat ? ChatLogprobs(part.logprobs) : CompletionLogprobs(part.logprobs, offset);
}

Json UsageJson(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

Json Message(const ResponseInfo& info, const char* object, Json choices) {
  return {{"id", info.id},
          {"object", object},
          {"created", info.created},
          {"model", info.model},
          {"choices", std::move(choices)}};
}

// A message of a stream with one choice, or none.
Json Chunk(const ResponseInfo& info, Json choices, Json usage) {
  Json message =
      Message(info, info.is_chat ? "chat.completion.chunk" : "text_completion", std::move(choices));
  if (info.has_usage) message["usage"] = std::move(usage);
  return message;
}

Json ChoiceJson(const ResponseInfo& info, size_t choice, Json content, Json logprobs,
                Json finish_reason) {
  Json json = {{"index", choice},
               {info.is_chat ? "delta" : "text", std::move(content)},
               {"logprobs", std::move(logprobs)},
               {"finish_reason", std::move(finish_reason)}};
  return Chunk(info, Json::array({std::move(json)}), nullptr);
}

std::string ChoiceChunk(const ResponseInfo& info, size_t choice, Json content, Json logprobs,
                        Json finish_reason) {
  return Dump(
      ChoiceJson(info, choice, std::move(content), std::move(logprobs), std::move(finish_reason)));
}

// What a choice without content has.
Json NoContent(const ResponseInfo& info) { return info.is_chat ? Json::object() : Json(""); }

Json ModelJson(const ModelEntry& model) {
  return {{"id", model.id},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", "sluice"},
          {"context_length", model.context},
          {"max_model_len", model.context},
          {"meta",
           {{"n_ctx", model.context},
            {"n_ctx_train", model.trained_context},
            {"n_vocab", model.vocabulary}}}};
}

Json Vector(const std::vector<float>& vector, bool base64) {
  if (!base64) return vector;
  std::string bytes(vector.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), vector.data(), bytes.size());
  return absl::Base64Escape(bytes);
}

}  // namespace

std::string AnswerBody(const ResponseInfo& info, absl::Span<const FinishedAnswer> answers,
                       const Usage& usage) {
  Json choices = Json::array();
  for (const FinishedAnswer& answer : answers) {
    int64_t offset = 0;
    Json choice = {{"index", choices.size()}};
    if (info.is_chat) {
      choice["message"] = {{"role", "assistant"}, {"content", answer.all.text}};
    } else {
      choice["text"] = answer.all.text;
    }
    choice["logprobs"] = LogprobsOf(info, answer.all, &offset);
    choice["finish_reason"] = answer.finish_reason;
    choices.push_back(std::move(choice));
  }
  Json message =
      Message(info, info.is_chat ? "chat.completion" : "text_completion", std::move(choices));
  message["usage"] = UsageJson(usage);
  return Dump(message);
}

std::string RoleChunk(const ResponseInfo& info, size_t choice) {
  return ChoiceChunk(info, choice, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
}

std::string PartChunk(const ResponseInfo& info, size_t choice, const TextPart& part,
                      int64_t* offset) {
  Json logprobs = LogprobsOf(info, part, offset);
  Json content = info.is_chat ? Json{{"content", part.text}} : Json(part.text);
  return ChoiceChunk(info, choice, std::move(content), std::move(logprobs), nullptr);
}

std::string EndChunk(const ResponseInfo& info, size_t choice, const std::string& finish_reason) {
  return ChoiceChunk(info, choice, NoContent(info), nullptr, finish_reason);
}

std::string ProgressChunk(const ResponseInfo& info, size_t choice, const PromptTimes& prompt) {
  Json chunk = ChoiceJson(info, choice, NoContent(info), nullptr, nullptr);
  chunk["prompt_progress"] = {{"total", prompt.tokens.total},
                              {"cache", prompt.tokens.cached},
                              {"processed", prompt.tokens.processed},
                              {"time_ms", std::llround(prompt.seconds * 1e3)}};
  return Dump(chunk);
}

std::string UsageChunk(const ResponseInfo& info, const Usage& usage) {
  return Dump(Chunk(info, Json::array(), UsageJson(usage)));
}

std::string EmbeddingBody(const std::string& model, absl::Span<const std::vector<float>> vectors,
                          bool base64, int64_t tokens) {
  Json data = Json::array();
  for (const std::vector<float>& vector : vectors) {
    data.push_back(
        {{"object", "embedding"}, {"index", data.size()}, {"embedding", Vector(vector, base64)}});
  }
  return Dump({{"object", "list"},
               {"data", std::move(data)},
               {"model", model},
               {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}});
}

std::string ModelBody(const ModelEntry& model) { return Dump(ModelJson(model)); }

std::string ModelsBody(const ModelEntry& model) {
  return Dump({{"object", "list"}, {"data", Json::array({ModelJson(model)})}});
}

std::string Event(const std::string& data) { return absl::StrCat("data: ", data, "\n\n"); }
std::string Comment(const std::string& text) { return absl::StrCat(": ", text, "\n\n"); }

}  // namespace sluice::server
