#include "tools/terminal/console.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <iostream>

#include "absl/memory/memory.h"
#include "absl/status/status.h"

namespace sluice::tools {
namespace {

// The one thing that a signal handler can reach: the open console's writing end, or -1. A pipe
// wakes up whoever waits for input, on whichever thread the signal arrives.
std::atomic<int> handler_pipe = -1;
static_assert(std::atomic<int>::is_always_lock_free);

void OnInterrupt(int) {
  const int saved = errno;
  [[maybe_unused]] const ssize_t written = write(handler_pipe.load(), "", 1);  // full: known anyway
  errno = saved;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Console>> Console::Open() {
  int ends[2];
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  auto console = absl::WrapUnique(new Console());
  console->interrupts_ = ends[0];
  console->signalled_ = ends[1];
  handler_pipe = console->signalled_;
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, &console->before_);
  return console;
}

Console::~Console() {
  sigaction(SIGINT, &before_, nullptr);
  handler_pipe = -1;
  close(interrupts_);
  close(signalled_);
}

Console::Event Console::ReadLine(absl::string_view prompt, std::string* line) {
  if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO)) std::cerr << prompt << std::flush;
  while (!TakeBufferedLine(line)) {
    if (at_end_) return Event::kEnd;
    pollfd sources[] = {{STDIN_FILENO, POLLIN, 0}, {interrupts_, POLLIN, 0}};
    if (poll(sources, 2, -1) < 0) continue;  // EINTR
    if (TakeInterrupt()) return Event::kInterrupt;
    char part[4096];
    const ssize_t count = read(STDIN_FILENO, part, sizeof part);
    if (count > 0) buffer_.append(part, static_cast<size_t>(count));
    at_end_ = count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN);
  }
  return Event::kLine;
}

bool Console::TakeInterrupt() {
  bool any = false;
  for (char bytes[64]; read(interrupts_, bytes, sizeof bytes) > 0;) any = true;
  return any;
}

// At the end of the input, what is left is a line, too.
bool Console::TakeBufferedLine(std::string* line) {
  const size_t end = buffer_.find('\n');
  if (end == std::string::npos && (!at_end_ || buffer_.empty())) return false;
  *line = buffer_.substr(0, end);
  buffer_.erase(0, end == std::string::npos ? end : end + 1);
  return true;
}

}  // namespace sluice::tools
