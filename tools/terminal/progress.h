// A progress bar on standard error: for work over a second, on a terminal, and never in a pipe.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace sluice::tools {

class Progress {
 public:
  Progress(std::string label, int64_t total);
  ~Progress();  // clears the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Advance(int64_t amount = 1);

 private:
  using Clock = std::chrono::steady_clock;
  void Draw();

  std::string label_;
  int64_t total_;
  int64_t done_ = 0;
  bool on_terminal_;
  bool drawn_ = false;
  Clock::time_point start_ = Clock::now(), last_drawn_ = start_;
};

}  // namespace sluice::tools
