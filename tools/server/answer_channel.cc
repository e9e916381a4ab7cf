#include "tools/server/answer_channel.h"

#include <utility>

namespace sluice::server {
namespace {

// About what an event takes, so that those with little text count, too.
size_t SizeOf(const AnswerEvent& event) {
  size_t bytes = sizeof event + event.part.text.size();
  for (const LogprobEntry& entry : event.part.logprobs) {
    bytes += sizeof entry + entry.top.size() * sizeof entry.top[0];
  }
  return bytes;
}

}  // namespace

bool AnswerChannel::Push(AnswerEvent event) {
  const std::lock_guard<std::mutex> lock(mutex_);
  bytes_ += SizeOf(event);
  overflowed_ = overflowed_ || bytes_ > most_bytes_;
  if (overflowed_ && !event.end.has_value()) return false;
  events_.push_back(std::move(event));
  has_events_.notify_one();
  return !overflowed_;
}

std::vector<AnswerEvent> AnswerChannel::Take(Clock::time_point deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  has_events_.wait_until(lock, deadline, [this] { return !events_.empty(); });
  bytes_ = 0;
  return std::exchange(events_, {});
}

bool AnswerChannel::overflowed() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return overflowed_;
}

}  // namespace sluice::server
