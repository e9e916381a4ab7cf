#include "runtime/request_queue.h"

#include <utility>

namespace sluice {

absl::StatusOr<int64_t> RequestQueue::Submit(Request request) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (news_.closed) {
    return absl::UnavailableError("the queue is closed: no more requests are taken");
  }
  const int64_t id = request.id = ++last_id_;
  news_.requests.push_back(std::move(request));
  has_news_.notify_one();
  return id;
}

void RequestQueue::Cancel(int64_t id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  news_.cancelled.push_back(id);
  has_news_.notify_one();
}

void RequestQueue::Close() {
  const std::lock_guard<std::mutex> lock(mutex_);
  news_.closed = true;
  has_news_.notify_one();
}

RequestQueue::News RequestQueue::Take(bool wait) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (wait) {
    has_news_.wait(
        lock, [&] { return news_.closed || !news_.requests.empty() || !news_.cancelled.empty(); });
  }
  News news = std::exchange(news_, {});
  news_.closed = news.closed;
  return news;
}

void RunRequests(RequestQueue& queue, Scheduler& scheduler,
                 const std::function<void(const Scheduler&)>& on_step) {
  for (bool closed = false; !closed;) {
    if (on_step) on_step(scheduler);
    RequestQueue::News news = queue.Take(scheduler.idle());
    closed = news.closed;
    for (Request& request : news.requests) scheduler.Add(std::move(request));
    for (const int64_t id : news.cancelled) scheduler.Cancel(id);
    if (!closed) scheduler.Step();
  }
  scheduler.Reset();
}

}  // namespace sluice
