// What the API answers, as JSON: nothing happens here but shaping.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "tools/server/answer_channel.h"
#include "tools/server/text_stream.h"

namespace sluice::server {

// What all messages about one request have in common.
struct ResponseInfo {
  std::string id, model;
  int64_t created = 0;  // seconds since 1970
  bool is_chat = false;
  bool has_logprobs = false;
  bool has_usage = false;  // a stream ends with it
};

struct Usage {
  int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
};

struct FinishedAnswer {
  TextPart all;
  std::string finish_reason;
};

// A whole answer.
std::string AnswerBody(const ResponseInfo& info, absl::Span<const FinishedAnswer> answers,
                       const Usage& usage);

// The messages of a stream. First, for each answer of a chat, comes its role.
std::string RoleChunk(const ResponseInfo& info, size_t choice);
// `offset`: characters of the answer before this part; it goes on by those of the part.
std::string PartChunk(const ResponseInfo& info, size_t choice, const TextPart& part,
                      int64_t* offset);
std::string EndChunk(const ResponseInfo& info, size_t choice, const std::string& finish_reason);
// How far the prompt is, in the form that llama.cpp's server has for it.
std::string ProgressChunk(const ResponseInfo& info, size_t choice, const PromptTimes& prompt);
std::string UsageChunk(const ResponseInfo& info, const Usage& usage);

std::string EmbeddingBody(const std::string& model, absl::Span<const std::vector<float>> vectors,
                          bool base64, int64_t tokens);

// A model as it is told of, by each of the names that clients look for.
struct ModelEntry {
  std::string id;
  int64_t created = 0;
  int64_t context = 0;          // tokens, as served
  int64_t trained_context = 0;  // as the model would take
  int64_t vocabulary = 0;
};
std::string ModelBody(const ModelEntry& model);
std::string ModelsBody(const ModelEntry& model);  // a list of one

// Messages of a stream as SSE has them: an event, and a line that clients pass over.
std::string Event(const std::string& data);
std::string Comment(const std::string& text);

}  // namespace sluice::server
