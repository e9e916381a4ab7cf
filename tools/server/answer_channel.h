// The answers of one request on their way from the thread that runs the model to the one that
// serves the client. The former never waits: a client that reads too slowly loses its answer.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <vector>

#include "runtime/scheduler.h"
#include "tools/server/text_stream.h"

namespace sluice::server {

// How far a prompt is, and for how long it has been at work.
struct PromptTimes {
  PromptProgress tokens;
  double seconds = 0;
};

struct AnswerEvent {
  size_t choice = 0;
  TextPart part;
  std::optional<PromptTimes> prompt;  // instead of a part
  // The last event of the choice has it. `stopped`: by a stop string.
  struct End {
    RequestResult result;
    bool stopped = false;
  };
  std::optional<End> end;
};

// Every function may be called from every thread.
class AnswerChannel {
 public:
  using Clock = std::chrono::steady_clock;

  explicit AnswerChannel(size_t most_bytes) : most_bytes_(most_bytes) {}

  // False if there is too much that nobody has taken: this event is lost, unless it is an end, and
  // so will be all others.
  bool Push(AnswerEvent event);

  // All events since the last call, in their order; waits for one until `deadline`.
  std::vector<AnswerEvent> Take(Clock::time_point deadline);

  bool overflowed() const;

 private:
  const size_t most_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable has_events_;
  std::vector<AnswerEvent> events_;  // guarded by mutex_, as the others are
  size_t bytes_ = 0;
  bool overflowed_ = false;
};

}  // namespace sluice::server
