// Lines from a terminal, edited with libedit: arrows, history, and pastes that stay one text.
#pragma once

#include <histedit.h>

#include <clocale>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/terminal/terminal_mode.h"

namespace sluice::tools {

// Text is UTF-8, whatever the locale says. Between lines the terminal shows and interprets nothing
// of what is typed, but keeps it for the next one.
class LineEditor {
 public:
  enum class Event { kLine, kEnd, kInterrupt };
  // What ends a wait for standard input.
  enum class Wake { kInput, kInterrupt, kResized, kContinued };

  // `wait` waits.
  static absl::StatusOr<std::unique_ptr<LineEditor>> Create(std::function<Wake()> wait);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // Shows `prompt` on standard error. A line comes without its end, and with more ends in it if it
  // was pasted so. With kInterrupt comes what was typed until then.
  Event ReadLine(absl::string_view prompt, std::string* line);

 private:
  explicit LineEditor(std::function<Wake()> wait);
  absl::Status Open();
  void Bind();
  int Next(wchar_t* character);  // 1, or 0 at the end, or -1 with errno
  std::wstring ReadPaste();
  // What keys do: a CC_ code of libedit.
  unsigned char Show(const std::wstring& text);
  unsigned char ShowOlder();
  unsigned char ShowNewer();

  const std::function<Wake()> wait_;
  locale_t utf8_ = {};
  FILE* screen_ = nullptr;
  EditLine* editor_ = nullptr;
  HistoryW* history_ = nullptr;
  std::unique_ptr<TerminalMode> mode_;
  bool marks_pastes_ = false;
  std::wstring prompt_;
  std::string bytes_;        // read and not yet taken
  bool in_history_ = false;  // a line of it is shown
  std::wstring unfinished_;  // what was being written before that
  bool interrupted_ = false;
  std::string dropped_;  // with the interrupt
};

}  // namespace sluice::tools
