#include "tools/terminal/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace sluice::tools {

Progress::Progress(std::string label, int64_t total)
    : label_(std::move(label)),
      total_(std::max<int64_t>(total, 1)),
      on_terminal_(isatty(STDERR_FILENO)) {}

Progress::~Progress() {
  if (drawn_) std::fputs("\r\033[K", stderr);
}

void Progress::Advance(int64_t amount) {
  done_ += amount;
  const Clock::time_point now = Clock::now();
  const bool long_enough = now - start_ > std::chrono::seconds(1);
  const bool due = now - last_drawn_ > std::chrono::milliseconds(100);
  if (!on_terminal_ || !long_enough || !due) return;
  last_drawn_ = now;
  Draw();
}

void Progress::Draw() {
  constexpr int kWidth = 30;
  const int filled = static_cast<int>(kWidth * std::min(done_, total_) / total_);
  std::string bar(static_cast<size_t>(filled), '#');
  bar.resize(kWidth, '.');
  std::fprintf(stderr, "\r\033[K%s [%s] %3d%%", label_.c_str(), bar.c_str(),
               static_cast<int>(100 * std::min(done_, total_) / total_));
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace sluice::tools
