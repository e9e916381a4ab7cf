#include "tools/server/http_calls.h"

namespace sluice::server {

void HttpCalls::Add(const httplib::Request& request, HttpWork& call) {
  const std::lock_guard<std::mutex> lock(mutex_);
  calls_[&request] = &call;
}

void HttpCalls::Remove(const HttpWork& call) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::erase_if(calls_, [&](const auto& entry) { return entry.second == &call; });
  if (calls_.empty()) is_empty_.notify_all();
}

HttpWork& HttpCalls::Of(const httplib::Request& request) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return *calls_.at(&request);
}

bool HttpCalls::AwaitNone(std::chrono::milliseconds timeout) const {
  std::unique_lock<std::mutex> lock(mutex_);
  return is_empty_.wait_for(lock, timeout, [this] { return calls_.empty(); });
}

}  // namespace sluice::server
