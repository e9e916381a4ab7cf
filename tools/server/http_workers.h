// Threads for calls that may wait.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace sluice::server {

class HttpWorkers {
 public:
  // As many threads as there is work for, but no more.
  explicit HttpWorkers(int most) : most_(most) {}
  ~HttpWorkers() { Finish(); }
  HttpWorkers(const HttpWorkers&) = delete;
  HttpWorkers& operator=(const HttpWorkers&) = delete;

  void Post(std::function<void()> task);
  // Does what is left to do. Nothing is posted from then on.
  void Finish();

 private:
  void Work();

  const int most_;
  std::mutex mutex_;
  std::condition_variable has_task_;
  std::deque<std::function<void()>> tasks_;  // these are guarded by mutex_
  size_t idle_ = 0;
  bool is_over_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace sluice::server
