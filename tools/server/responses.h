// What the API answers, as JSON: nothing happens here but shaping.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
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
std::string UsageChunk(const ResponseInfo& info, const Usage& usage);

std::string EmbeddingBody(const std::string& model, absl::Span<const std::vector<float>> vectors,
                          bool base64, int64_t tokens);
std::string ModelsBody(const std::string& model, int64_t created);

// A message of a stream: an event as SSE has it.
std::string Event(const std::string& data);

}  // namespace sluice::server
