// The modes that a terminal is in while lines are edited, and how they end whatever happens.
#pragma once

namespace sluice::tools {

// Puts the terminal of standard input back as it was before TerminalMode, if it is not. For signal
// handlers and whoever ends the program in the middle, too: no more than system calls.
void RestoreTerminal();

// There can be one at a time. Until its end, signals that end or stop the program restore the
// terminal first.
class TerminalMode {
 public:
  // What is to be restored is what is now.
  TerminalMode();
  ~TerminalMode() { RestoreTerminal(); }
  TerminalMode(const TerminalMode&) = delete;
  TerminalMode& operator=(const TerminalMode&) = delete;

  // Also again: another program may have had the terminal meanwhile. `marks_pastes`: it knows
  // bracketed paste
  // (https://invisible-island.net/xterm/ctlseqs/ctlseqs.html#h2-Bracketed-Paste-Mode).
  void Set(bool marks_pastes) const;
};

}  // namespace sluice::tools
