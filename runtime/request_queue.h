// Requests from any thread to the one thread that runs the scheduler.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/scheduler.h"

namespace sluice {

// Every function may be called from every thread.
class RequestQueue {
 public:
  // Gives the request an id, 1 for the first, and returns it. Unavailable after Close: then
  // on_finish is not called.
  absl::StatusOr<int64_t> Submit(Request request);
  // Nothing happens if the request is finished.
  void Cancel(int64_t id);
  // Ends RunRequests: what is not finished is cancelled.
  void Close();

  // What has come since the last call. Those that are cancelled came before, or are among
  // `requests`.
  struct News {
    std::vector<Request> requests;  // in the order of their ids
    std::vector<int64_t> cancelled;
    bool closed = false;
  };
  // `wait`: returns when there is any.
  News Take(bool wait);

 private:
  std::mutex mutex_;
  std::condition_variable has_news_;
  News news_;  // guarded by mutex_, as last_id_ is
  int64_t last_id_ = 0;
};

// Runs the requests of `queue` until it is closed; sleeps while there are none. Callbacks are
// called from here; so is `on_step` with the scheduler after each step, and once before the first,
// for those who want to know how it is doing. None: nobody does.
void RunRequests(RequestQueue& queue, Scheduler& scheduler,
                 const std::function<void(const Scheduler&)>& on_step = nullptr);

}  // namespace sluice
