// SIGINT and SIGTERM as something to wait for.
#pragma once

#include <chrono>
#include <csignal>

namespace sluice::tools {

class EndSignals {
 public:
  // From now on they do nothing by themselves, in this thread and in those that it begins.
  EndSignals();
  ~EndSignals();
  EndSignals(const EndSignals&) = delete;
  EndSignals& operator=(const EndSignals&) = delete;

  // True if one has come within `timeout`; it is taken.
  bool Await(std::chrono::milliseconds timeout) const;
  // From now on they end the program as they always do.
  void Release() const;

 private:
  sigset_t signals_ = {};
  int fd_ = -1;  // from which they are read
};

}  // namespace sluice::tools
