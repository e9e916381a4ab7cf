#include "tools/terminal/terminal_mode.h"

#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>

#include "absl/strings/string_view.h"

namespace sluice::tools {
namespace {

// What handlers can reach: the terminal as it was, which is written before `is_changed` is set.
termios before;
bool sends_marks = false;
std::atomic<bool> is_changed = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void Send(absl::string_view sequence) {
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, sequence.data(), sequence.size());
}

// The handler is gone once it runs: the signal does then what it always does.
void OnEnd(int signal) {
  const int saved = errno;
  RestoreTerminal();
  raise(signal);
  errno = saved;
}

}  // namespace

void RestoreTerminal() {
  if (!is_changed.exchange(false)) return;
  if (sends_marks) Send("\x1b[?2004l");
  tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

TerminalMode::TerminalMode() { tcgetattr(STDIN_FILENO, &before); }

void TerminalMode::Set(bool marks_pastes) const {
  sends_marks = marks_pastes;
  is_changed = true;
  for (const int signal : {SIGTERM, SIGHUP, SIGQUIT, SIGTSTP}) {
    struct sigaction action = {};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler == SIG_IGN) continue;  // as nohup has it
    action = {};
    action.sa_handler = OnEnd;
    action.sa_flags = SA_RESTART | SA_RESETHAND;
    sigaction(signal, &action, nullptr);
  }
  if (sends_marks) Send("\x1b[?2004h");
}

}  // namespace sluice::tools
