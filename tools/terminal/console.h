// Lines from standard input, and Ctrl-C as an event instead of the program's end.
#pragma once

#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/terminal/line_editor.h"

namespace sluice::tools {

class Console {
 public:
  using Event = LineEditor::Event;

  // Takes SIGINT for itself as long as it lives. There can be one at a time. Where standard input
  // and error are a terminal, lines are edited.
  static absl::StatusOr<std::unique_ptr<Console>> Open();
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  // Waits for a line, which comes without its end, for the end of the input, or for Ctrl-C, with
  // which comes the line that it ended. `prompt` is shown to a terminal only.
  Event ReadLine(absl::string_view prompt, std::string* line);

  // Whether Ctrl-C was pressed since the last time that this or ReadLine told of it.
  bool TakeInterrupt();

 private:
  // Handlers as they were.
  struct Taken {
    int signal;
    struct sigaction before;
  };

  Console() = default;
  absl::Status Start();
  void Take(int signal);
  void ReadSignals();
  LineEditor::Wake Wait();
  bool TakeBufferedLine(std::string* line);

  int signals_ = -1;    // the reading end of a pipe that the signal handler writes to
  int signalled_ = -1;  // the writing end
  std::vector<Taken> taken_;
  bool interrupted_ = false, resized_ = false, continued_ = false;  // and not yet told
  std::unique_ptr<LineEditor> editor_;                              // where there is a terminal
  std::string buffer_;  // read and not yet given out, elsewhere
  bool at_end_ = false;
};

}  // namespace sluice::tools
