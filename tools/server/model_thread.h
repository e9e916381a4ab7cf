// The thread that runs the model, and what others may know of it.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "runtime/request_queue.h"
#include "runtime/scheduler.h"
#include "runtime/session.h"
#include "tools/server/step_profile.h"

namespace sluice::server {

struct ModelThreadState {
  int64_t running = 0, waiting = 0;
  Scheduler::Counters counters;
  PrefixCache::Counters prefix_cache;
  int64_t known_blocks = 0;                              // of the prefix cache
  int64_t blocks = 0, free_blocks = 0, idle_blocks = 0;  // of the pool
  int64_t max_context = 0, max_running = 0;
  double tokens_per_second = 0;  // generated, in the last seconds
};

class ModelThread {
 public:
  // The session outlives the thread and is used by nobody else.
  ModelThread(Session& session, const SchedulerOptions& options);
  // Cancels what is not finished.
  ~ModelThread();
  ModelThread(const ModelThread&) = delete;
  ModelThread& operator=(const ModelThread&) = delete;

  // All from any thread. InvalidArgument: the request can never be run. Callbacks are the
  // scheduler's and are called on the model's thread.
  absl::Status Check(const Request& request) const { return scheduler_.Check(request); }
  int64_t max_context() const { return session_.max_context(); }
  absl::StatusOr<int64_t> Submit(Request request) { return queue_.Submit(std::move(request)); }
  void Cancel(int64_t id) { queue_.Cancel(id); }
  // Cancels all requests and takes no more.
  void Close() { queue_.Close(); }
  ModelThreadState state() const;
  // Of up to so many of the next steps, fewer if they take longer than `patience`. One at a time:
  // others wait for their turn.
  StepProfile Profile(int64_t steps, std::chrono::milliseconds patience);

 private:
  using Clock = std::chrono::steady_clock;

  void Publish(const Scheduler& scheduler);
  void ContinueProfile(const Scheduler& scheduler);

  // How much had been generated at the beginning of each of the last seconds.
  struct RateSample {
    Clock::time_point time;
    int64_t generated = 0;
  };
  static constexpr size_t kRateSeconds = 8;

  Session& session_;
  Scheduler scheduler_;
  RequestQueue queue_;
  mutable std::mutex mutex_;
  ModelThreadState state_;  // guarded by mutex_, as the samples are
  std::array<RateSample, kRateSeconds> samples_;
  size_t next_sample_ = 0;
  std::mutex profile_turn_;  // of those who want a profile
  std::mutex profile_mutex_;
  std::condition_variable profile_done_;
  // Guarded by profile_mutex_: which profile is wanted, of how many steps, 0 for none, and what
  // there is of it.
  uint64_t profiles_ = 0;
  int64_t profile_wanted_ = 0;
  StepProfile profile_;
  // Of the thread that runs the model: what the session tells, and for which profile.
  std::optional<StepRecorder> recorder_;
  uint64_t recorded_ = 0;

  std::thread runner_;  // the last member: it uses all others
};

}  // namespace sluice::server
