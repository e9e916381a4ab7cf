#include "tools/server/http_workers.h"

#include <system_error>
#include <utility>

namespace sluice::server {

void HttpWorkers::Finish() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  has_task_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void HttpWorkers::Post(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
  if (tasks_.size() > idle_ && threads_.size() < static_cast<size_t>(most_)) {
    try {
      threads_.emplace_back([this] { Work(); });
    } catch (const std::system_error&) {
      // The system has no more threads: those that are there do the work.
    }
  }
  has_task_.notify_one();
}

void HttpWorkers::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    has_task_.wait(lock, [this] { return is_over_ || !tasks_.empty(); });
    --idle_;
    if (tasks_.empty()) return;
    const std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    lock.lock();
  }
}

}  // namespace sluice::server
