// One client of a server with OpenAI's API, and the times of what it asks.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::load {

using Clock = std::chrono::steady_clock;

struct Endpoint {
  std::string url;  // "http://127.0.0.1:8080"
  std::string api_key;
  std::chrono::seconds timeout{600};  // for one piece of an answer
};

struct CompletionRequest {
  std::vector<int32_t> prompt;
  int64_t max_tokens = 16;
  bool ignores_end = true;  // so that every answer has max_tokens
  double temperature = 0;
  // The reader's behaviour: breaks off after so many pieces of text, 0: never; waits so long after
  // each.
  int64_t abort_after = 0;
  std::chrono::milliseconds pause{0};
};

// When what came, in seconds since the request was sent.
struct Completion {
  absl::Status status;  // not OK: the request failed; the message says how
  int http_code = 0;    // 0: there was no answer at all
  bool aborted = false;
  double first = 0, total = 0;                               // the first piece of text, and the end
  std::vector<double> gaps;                                  // between pieces of text
  int64_t prompt_tokens = 0, cached_tokens = 0, tokens = 0;  // as the server counts them
};

// Keeps its connection. For one thread at a time.
class CompletionClient {
 public:
  explicit CompletionClient(const Endpoint& endpoint);
  ~CompletionClient();

  // Streams one answer of /v1/completions.
  Completion Run(const CompletionRequest& request);

  // Any request, for what is not a well-formed completion; the code and the body. Unavailable if
  // there is no answer.
  struct Reply {
    int code = 0;
    std::string body;
  };
  absl::StatusOr<Reply> Post(const std::string& path, const std::string& body);
  absl::StatusOr<Reply> Get(const std::string& path);

 private:
  struct Connection;
  const Endpoint endpoint_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace sluice::load
