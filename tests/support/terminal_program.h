// The sluice program on a terminal: what a user types, and what then stands on the screen.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice {

// All that the program sends to the terminal is read up to what a test waits for: no test looks at
// a clock.
class TerminalProgram {
 public:
  explicit TerminalProgram(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), SLUICE_BINARY);
    const winsize size = {.ws_row = 24, .ws_col = 80};
    child_ = forkpty(&terminal_, nullptr, nullptr, &size);
    if (child_ == 0) {
      alarm(120);
      setenv("TERM", "xterm", 1);
      setenv("HOME", "/nonexistent", 1);  // no .editrc
      std::vector<char*> argv;
      for (std::string& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(127);
    }
    EXPECT_GE(terminal_, 0);
  }
  ~TerminalProgram() {
    if (child_ > 0) kill(child_, SIGKILL);
    if (child_ > 0) Finish();
    close(terminal_);
  }

  // As if typed, while what the program shows meanwhile is read: it may wait for that.
  void Type(absl::string_view keys) {
    while (!keys.empty()) {
      pollfd ends = {terminal_, POLLIN | POLLOUT, 0};
      poll(&ends, 1, -1);
      if ((ends.revents & POLLIN) != 0 && !Read()) return;
      if ((ends.revents & POLLOUT) == 0) continue;
      const ssize_t count = write(terminal_, keys.data(), std::min<size_t>(keys.size(), 256));
      if (count > 0) keys.remove_prefix(static_cast<size_t>(count));
    }
  }
  // Until `text` comes, after what was waited for before. False if the program ends or falls silent
  // without.
  [[nodiscard]] bool Await(absl::string_view text) {
    size_t at;
    while ((at = screen_.find(std::string(text), seen_)) == std::string::npos) {
      if (!Read()) return false;
    }
    seen_ = at + text.size();
    return true;
  }
  void Signal(int signal) const { kill(child_, signal); }
  // The exit code, or minus the signal that ended the program.
  int Finish() {
    while (Read()) {
    }
    if (is_silent_) kill(child_, SIGKILL);
    int status = 0;
    waitpid(std::exchange(child_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  // Whether the terminal shows what is typed and edits lines, as it does for other programs.
  bool IsOrdinary() const {
    termios mode = {};
    tcgetattr(terminal_, &mode);
    return (mode.c_lflag & (ICANON | ECHO)) == (ICANON | ECHO);
  }
  // Everything that came, as it came.
  const std::string& screen() const { return screen_; }

 private:
  // False at the end, or after a silence.
  bool Read() {
    constexpr int kSilenceMs = 20000;
    pollfd end = {terminal_, POLLIN, 0};
    is_silent_ = poll(&end, 1, kSilenceMs) <= 0;
    if (is_silent_) return false;
    char part[4096];
    const ssize_t count = read(terminal_, part, sizeof part);
    if (count > 0) screen_.append(part, static_cast<size_t>(count));
    return count > 0;
  }

  pid_t child_ = -1;
  int terminal_ = -1;
  std::string screen_;
  size_t seen_ = 0;
  bool is_silent_ = false;
};

}  // namespace sluice
