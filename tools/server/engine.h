// The thread that runs the model, and what others may know of it.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "runtime/request_queue.h"
#include "runtime/scheduler.h"
#include "runtime/session.h"

namespace sluice::server {

struct EngineState {
  int64_t running = 0, waiting = 0;
  Scheduler::Counters counters;
  PrefixCache::Counters prefix_cache;
  int64_t known_blocks = 0;                              // of the prefix cache
  int64_t blocks = 0, free_blocks = 0, idle_blocks = 0;  // of the pool
  int64_t max_context = 0, max_running = 0;
  double tokens_per_second = 0;  // generated, in the last seconds
};

class Engine {
 public:
  // The session outlives the engine and is used by nobody else.
  Engine(Session& session, const SchedulerOptions& options);
  // Cancels what is not finished.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // All from any thread. InvalidArgument: the request can never be run. Callbacks are the
  // scheduler's and are called on the engine's thread.
  absl::Status Check(const Request& request) const { return scheduler_.Check(request); }
  absl::StatusOr<int64_t> Submit(Request request) { return queue_.Submit(std::move(request)); }
  void Cancel(int64_t id) { queue_.Cancel(id); }
  // Cancels all requests and takes no more.
  void Close() { queue_.Close(); }
  EngineState state() const;

 private:
  using Clock = std::chrono::steady_clock;

  void Publish(const Scheduler& scheduler);

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
  EngineState state_;  // guarded by mutex_, as the samples are
  std::array<RateSample, kRateSeconds> samples_;
  size_t next_sample_ = 0;
  std::thread runner_;  // the last member: it uses all others
};

}  // namespace sluice::server
