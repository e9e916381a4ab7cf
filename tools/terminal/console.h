// Lines from standard input, and Ctrl-C as an event instead of the program's end.
#pragma once

#include <csignal>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice::tools {

class Console {
 public:
  enum class Event { kLine, kEnd, kInterrupt };

  // Takes SIGINT for itself as long as it lives. There can be one at a time.
  static absl::StatusOr<std::unique_ptr<Console>> Open();
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  // Waits for a line, which comes without its end, for the end of the input, or for Ctrl-C.
  // `prompt` is shown to a terminal only.
  Event ReadLine(absl::string_view prompt, std::string* line);

  // Whether Ctrl-C was pressed since the last time that this or ReadLine told of it.
  bool TakeInterrupt();

 private:
  Console() = default;
  bool TakeBufferedLine(std::string* line);

  int interrupts_ = -1;  // the reading end of a pipe that the signal handler writes to
  int signalled_ = -1;   // the writing end
  struct sigaction before_ = {};
  std::string buffer_;  // read and not yet given out
  bool at_end_ = false;
};

}  // namespace sluice::tools
