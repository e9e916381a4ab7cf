#include "tools/terminal/console.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "graph/status_macros.h"

namespace sluice::tools {
namespace {

using Wake = LineEditor::Wake;

// The one thing that a signal handler can reach: the open console's writing end, or -1. A pipe
// wakes up whoever waits for input, on whichever thread the signal arrives.
std::atomic<int> handler_pipe = -1;
static_assert(std::atomic<int>::is_always_lock_free);

void OnSignal(int signal) {
  const int saved = errno;
  const char number = static_cast<char>(signal);
  [[maybe_unused]] const ssize_t written = write(handler_pipe.load(), &number, 1);  // full: known
  errno = saved;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Console>> Console::Open() {
  auto console = absl::WrapUnique(new Console());
  SLUICE_RETURN_IF_ERROR(console->Start());
  return console;
}

absl::Status Console::Start() {
  int ends[2];
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  signals_ = ends[0];
  signalled_ = ends[1];
  handler_pipe = signalled_;
  Take(SIGINT);
  if (isatty(STDIN_FILENO) == 0 || isatty(STDERR_FILENO) == 0) return absl::OkStatus();
  Take(SIGWINCH);
  Take(SIGCONT);
  SLUICE_ASSIGN_OR_RETURN(editor_, LineEditor::Create([this] { return Wait(); }));
  return absl::OkStatus();
}

void Console::Take(int signal) {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  taken_.push_back({.signal = signal, .before = {}});
  sigaction(signal, &action, &taken_.back().before);
}

Console::~Console() {
  editor_ = nullptr;
  for (const Taken& taken : taken_) sigaction(taken.signal, &taken.before, nullptr);
  handler_pipe = -1;
  if (signals_ < 0) return;
  close(signals_);
  close(signalled_);
}

void Console::ReadSignals() {
  char numbers[64];
  for (ssize_t count; (count = read(signals_, numbers, sizeof numbers)) > 0;) {
    for (ssize_t i = 0; i < count; ++i) {
      interrupted_ |= numbers[i] == SIGINT;
      resized_ |= numbers[i] == SIGWINCH;
      continued_ |= numbers[i] == SIGCONT;
    }
  }
}

bool Console::TakeInterrupt() {
  ReadSignals();
  return std::exchange(interrupted_, false);
}

Wake Console::Wait() {
  while (true) {
    ReadSignals();
    if (std::exchange(interrupted_, false)) return Wake::kInterrupt;
    if (std::exchange(continued_, false)) return Wake::kContinued;
    if (std::exchange(resized_, false)) return Wake::kResized;
    pollfd sources[] = {{STDIN_FILENO, POLLIN, 0}, {signals_, POLLIN, 0}};
    if (poll(sources, 2, -1) > 0 && sources[1].revents == 0) return Wake::kInput;
  }
}

Console::Event Console::ReadLine(absl::string_view prompt, std::string* line) {
  if (editor_ != nullptr) return editor_->ReadLine(prompt, line);
  line->clear();
  while (!TakeBufferedLine(line)) {
    if (at_end_) return Event::kEnd;
    if (Wait() == Wake::kInterrupt) return Event::kInterrupt;
    char part[4096];
    const ssize_t count = read(STDIN_FILENO, part, sizeof part);
    if (count > 0) buffer_.append(part, static_cast<size_t>(count));
    at_end_ = count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN);
  }
  return Event::kLine;
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
