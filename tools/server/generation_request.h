// What a client asks for in /v1/completions and /v1/chat/completions: JSON in, a struct or an error
// out, and nothing else happens here.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "models/text/chat_template.h"
#include "runtime/constraint/grammar.h"
#include "runtime/sampler.h"
#include "tools/server/json_fields.h"

namespace sluice::server {

// A text, or its tokens.
using Prompt = std::variant<std::string, std::vector<int32_t>>;

struct GenerationRequest {
  bool is_chat = false;
  std::vector<ChatMessage> messages;  // of a chat
  std::vector<Prompt> prompts;        // of a completion, at least one
  SamplerOptions sampling;
  bool has_seed = false;              // otherwise the answers differ from time to time
  std::optional<int64_t> max_tokens;  // none: the server's limit; -1: until the context is full
  bool ignores_end = false;           // goes on where the model would end
  std::vector<std::string> stops;
  std::vector<int32_t> stop_tokens;  // end an answer, and are no part of it
  int64_t choices = 1;               // answers to each prompt
  bool wants_logprobs = false;
  int64_t top_logprobs = 0;
  bool echo = false;
  bool stream = false;
  bool include_usage = false;   // in a stream, as the following are
  bool tells_progress = false;  // of the prompt, in events
  // A silence after which there is a comment; none: as the server has it; negative: never.
  std::optional<std::chrono::seconds> ping;
  std::shared_ptr<const Grammar> grammar;  // of the answer (answer_format.h); nullptr: any text
};

struct RequestDefaults {
  SamplerOptions sampling;
  int64_t max_choices = 1;  // of a request, over all its prompts
};

// The bounds are part of the API: see docs/serve.md.
inline constexpr int64_t kMostStops = 16;
inline constexpr int64_t kMostStopBytes = 256;
inline constexpr int64_t kMostTopLogprobs = 20;
inline constexpr int64_t kMostBiases = 1024;
inline constexpr double kMostBias = 100;

// Errors: InvalidArgument with the field (api_error.h). Which fields there are, and what of them is
// refused, request_fields.h says: only those that act are looked at here.
absl::StatusOr<GenerationRequest> ParseCompletion(const Json& body,
                                                  const RequestDefaults& defaults);
absl::StatusOr<GenerationRequest> ParseChat(const Json& body, const RequestDefaults& defaults);

// The token ids in `value`, which errors call `name`.
absl::StatusOr<std::vector<int32_t>> ParseTokens(const Fields& fields, absl::string_view name,
                                                 const Json& value);
// A prompt, or a list of prompts: "text", ["text", "text"], [1, 2], [[1, 2], [3]].
absl::StatusOr<std::vector<Prompt>> ParsePrompts(const Fields& fields, absl::string_view name);

}  // namespace sluice::server
