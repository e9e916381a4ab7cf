// One request at work: its prompts become tokens and go to the model's thread, its answers come
// back.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/server/admission.h"
#include "tools/server/answer_channel.h"
#include "tools/server/generation_request.h"
#include "tools/server/responses.h"
#include "tools/server/served_model.h"

namespace sluice::server {

struct GenerationLimits {
  int64_t max_tokens = -1;  // of answers to requests that do not say; -1: the context's
  std::chrono::steady_clock::duration timeout = std::chrono::minutes(10);
  size_t buffered_bytes = 1 << 20;  // of answers that the client has not read
  std::chrono::steady_clock::duration ping = std::chrono::seconds(5);  // of streams that are silent
  DraftOptions draft;
};

class Generation {
 public:
  using Clock = AnswerChannel::Clock;

  // Errors: InvalidArgument for what can never be run, ResourceExhausted if the queue is full,
  // Unavailable if the model's thread is closed. The model outlives the generation.
  static absl::StatusOr<std::unique_ptr<Generation>> Start(const ServedModel& model,
                                                           const GenerationRequest& request,
                                                           const GenerationLimits& limits,
                                                           Admission& admission);
  // Cancels what is not finished.
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // The next parts of answers, none if there are none until `until`. Errors end the whole request:
  // DeadlineExceeded, Cancelled when `is_wanted`, which is asked now and then, says no, Unavailable
  // when that thread was closed, ResourceExhausted when answers were not taken in time, and what
  // made one fail.
  struct Part {
    size_t choice = 0;
    TextPart part;
    std::string finish_reason;          // "stop" or "length" with the choice's last part
    std::optional<PromptTimes> prompt;  // in a stream, before all else: how far the prompt is
  };
  absl::StatusOr<std::vector<Part>> Next(const std::function<bool()>& is_wanted,
                                         Clock::time_point until = Clock::time_point::max());

  size_t choices() const { return choices_; }
  bool done() const { return finished_ == choices_; }
  const Usage& usage() const { return usage_; }  // complete once done
  // What stands in front of a choice's answer: its prompt with `echo`, otherwise "".
  const std::string& EchoOf(size_t choice) const { return echoes_[choice / per_prompt_]; }

 private:
  Generation(const ServedModel& model, const GenerationRequest& request,
             const GenerationLimits& limits);
  absl::StatusOr<std::vector<std::vector<int32_t>>> Tokenize() const;
  absl::Status CheckPrompt(const std::vector<int32_t>& prompt) const;
  absl::Status CheckTokens() const;
  Request MakeRequest(std::vector<int32_t> prompt, size_t choice,
                      std::shared_ptr<Admission::Ticket> ticket) const;
  absl::Status Submit(Admission& admission);
  absl::StatusOr<Part> Receive(AnswerEvent event);

  const ServedModel& model_;
  const GenerationRequest request_;
  const GenerationLimits limits_;
  const Clock::time_point deadline_;
  const size_t per_prompt_;  // choices
  std::vector<std::string> echoes_;
  size_t choices_ = 0, finished_ = 0;
  std::vector<int64_t> ids_;  // of its requests, as the model's thread counts them
  std::shared_ptr<AnswerChannel> channel_;
  Usage usage_;
};

}  // namespace sluice::server
