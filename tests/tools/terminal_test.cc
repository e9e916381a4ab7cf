// `sluice run --chat` on a terminal: keys, pastes, signals; and what may reach a terminal at all.
#include "tests/support/terminal_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/terminal/terminal_filter.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr char kUp[] = "\x1b[A", kDown[] = "\x1b[B", kLeft[] = "\x1b[D";
constexpr char kCtrlC[] = "\x03", kCtrlD[] = "\x04";

std::string Pasted(const std::string& text) { return absl::StrCat("\x1b[200~", text, "\x1b[201~"); }

// A chat that has come to its first prompt. `/system` shows what a message became of, without the
// model.
class TerminalChat : public testing::Test {
 protected:
  void SetUp() override { AwaitPrompt(); }

  void AwaitPrompt() { ASSERT_TRUE(chat_.Await("\x1b[?2004h> ")) << chat_.screen(); }
  void AwaitText(const std::string& text) { ASSERT_TRUE(chat_.Await(text)) << chat_.screen(); }
  // Types a line and waits for the next prompt.
  void Say(const std::string& keys) {
    chat_.Type(absl::StrCat(keys, "\r"));
    AwaitPrompt();
  }
  // The system message as the chat shows it.
  void ExpectSystem(const std::string& lines) {
    chat_.Type("/system\r");
    AwaitText(absl::StrCat("[the system message: ", lines, "]\r\n"));
    AwaitPrompt();
  }

  TerminalProgram chat_{{"run", "--chat", "-t", "1", "-s", "1", "-c", "256", "-n", "8"}};
};

TEST_F(TerminalChat, EditsLinesAndRemembersThem) {
  Say(absl::StrCat("/system tale", kLeft, kLeft, "b\x7fme\x05s"));  // delete, to the end
  ExpectSystem("tameles");
  Say(absl::StrCat(kUp, kUp, " again"));  // over the line that shows it
  ExpectSystem("tameles again");
  // Down leads back to what was begun, also where that is long.
  const std::string begun(3000, 'z');
  Say(absl::StrCat("/system ", begun, kUp, kDown));
  ExpectSystem(begun);
}

TEST_F(TerminalChat, KeepsLettersBeyondAscii) {
  Say("/system h\xC3\xA4ll\xC3\xB6 \xE2\x82\xAC \xF0\x9F\x98\x80X\x7f\x7f!");
  ExpectSystem("h\xC3\xA4ll\xC3\xB6 \xE2\x82\xAC !");
}

TEST_F(TerminalChat, APasteIsOneMessage) {
  // However its lines end; and the marks of a paste are none of its text.
  Say(absl::StrCat("/system a ", Pasted("one\rtwo\r\nthree\nfour\r\n\r\n"), "z"));
  ExpectSystem("a one\r\ntwo\r\nthree\r\nfour\r\n\r\nz");
  Say(absl::StrCat("/system ", Pasted("5\r6\r")));
  ExpectSystem("5\r\n6");
  Say("/system 7\x1b\r8");  // Alt-Enter
  ExpectSystem("7\r\n8");
  chat_.Type(absl::StrCat(Pasted("Tell me\rof a cat.\r"), "\r"));
  AwaitText("tokens;");
  const size_t answers = chat_.screen().find("tokens;");
  AwaitPrompt();
  chat_.Type(kCtrlD);
  EXPECT_EQ(chat_.Finish(), 0);
  EXPECT_EQ(chat_.screen().find("tokens;", answers + 1), std::string::npos);  // one
}

TEST_F(TerminalChat, TakesLongLinesWhole) {
  const std::string typed = absl::StrCat(std::string(5000, 'x'), std::string(4999, 'y'), "z");
  Say("/system " + typed);
  ExpectSystem(typed);
  std::vector<std::string> lines;
  for (int i = 0; i < 500; ++i) lines.push_back(absl::StrCat("This is line ", i));
  Say(absl::StrCat("/system ", Pasted(absl::StrJoin(lines, "\r"))));
  ExpectSystem(absl::StrJoin(lines, "\r\n"));
}

TEST_F(TerminalChat, CtrlCTakesBackWhatIsTyped) {
  for (int i = 0; i < 2; ++i) {
    chat_.Type("/system no");
    AwaitText("/system no");
    chat_.Type(kCtrlC);
    AwaitText("^C\r\n");
    EXPECT_THAT(chat_.screen(), HasSubstr("> /system no^C\r\n"));
    AwaitPrompt();
  }
  chat_.Type("/system\r");
  AwaitText("there is no system message");
  AwaitPrompt();
  chat_.Type(kCtrlC);
  AwaitText("once more");
  AwaitPrompt();
  chat_.Type(kCtrlC);
  EXPECT_EQ(chat_.Finish(), 0);
}

TEST_F(TerminalChat, CtrlDLeavesTheTerminalAsItWas) {
  EXPECT_FALSE(chat_.IsOrdinary());
  chat_.Type(kCtrlD);
  EXPECT_EQ(chat_.Finish(), 0);
  EXPECT_THAT(chat_.screen(), testing::ContainsRegex("\x1b\\[\\?2004l[^h]*$"));
}

TEST_F(TerminalChat, ASignalThatEndsItLeavesTheTerminalAsItWas) {
  chat_.Signal(SIGTERM);
  AwaitText("\x1b[?2004l");
  EXPECT_EQ(chat_.Finish(), -SIGTERM);
}

TEST_F(TerminalChat, UnknownCommandsAreToldAndBlanksEscape) {
  chat_.Type("/sytem x\r");
  AwaitText("unknown command /sytem; did you mean '/system'?");
  AwaitPrompt();
  chat_.Type("/clear all\r");
  AwaitText("/clear takes nothing more");
  AwaitPrompt();
  for (const char* message : {" /sytem x", "/usr/bin is a folder", "// a comment"}) {
    chat_.Type(absl::StrCat(message, "\r"));
    AwaitText("after 8 tokens");
    AwaitPrompt();
  }
}

TEST(Terminal, WhatIsTypedDuringAnAnswerIsTheNextMessage) {
  // The reference backend takes a moment.
  TerminalProgram chat({"run", "--chat", "-t", "1", "-s", "1", "--backend", "ref", "-n", "60"});
  ASSERT_TRUE(chat.Await("> "));
  chat.Type("Tell me a story.\r");
  ASSERT_TRUE(chat.Await("story.\r\n"));
  const std::string text(6000, 'q');  // more than a line of a terminal holds
  chat.Type(absl::StrCat("/system ", text, "\r/system\r/system ", Pasted("a\rb"), "\r/system\r"));
  ASSERT_TRUE(chat.Await("tokens;")) << chat.screen();
  // Not shown in the middle of the answer.
  EXPECT_LT(chat.screen().find("tokens;"), chat.screen().find("qq"));
  EXPECT_TRUE(chat.Await(absl::StrCat("[the system message: ", text, "]"))) << chat.screen();
  EXPECT_TRUE(chat.Await("[the system message: a\r\nb]")) << chat.screen();
}

// A prompt is shown before it is continued: as strange a text as a model can write.
const char kStrange[] =
    "a\x1b[31m\xC2\x9B"
    "0m\xE2\x80\xAE"
    "b\x07\r\t\xE2\x82\xAC\xFF.";

TEST(Terminal, ShowsWhatWouldCommandIt) {
  TerminalProgram program({"run", "-t", "1", "-n", "1", "-p", kStrange});
  EXPECT_EQ(program.Finish(), 0);
  EXPECT_THAT(program.screen(), AllOf(HasSubstr("a\\x1B[31m\\xC2\\x9B"
                                                "0m\\xE2\\x80\\xAE"
                                                "b\\x07\\x0D\t\xE2\x82\xAC\\xFF."),
                                      Not(HasSubstr("\x1b")), Not(HasSubstr("\x07"))));
  TerminalProgram failing({"inspect", "/nowhere/\x1b]0;title\x07.gguf"});
  EXPECT_EQ(failing.Finish(), 1);
  EXPECT_THAT(failing.screen(), AllOf(HasSubstr("\\x1B]0;title\\x07"), Not(HasSubstr("\x1b"))));
}

// What a filter lets through of pieces.
std::string Filtered(const std::vector<std::string>& pieces) {
  std::ostringstream terminal;
  {
    tools::TerminalFilter filter(*terminal.rdbuf());
    std::ostream stream(&filter);
    for (const std::string& piece : pieces) stream << piece << std::flush;
  }
  return terminal.str();
}

TEST(TerminalFilter, ShowsControlsAndKeepsLinesAndLettersWhole) {
  EXPECT_EQ(Filtered({"a\tb\n", "\xC3\xA9\xE2\x82\xAC"}), "a\tb\n\xC3\xA9\xE2\x82\xAC");
  EXPECT_EQ(Filtered({"\x1b", "[31m"}), "\\x1B[31m");
  EXPECT_EQ(Filtered({"\xF0", "\x9F\x98", "\x80!"}), "\xF0\x9F\x98\x80!");
  EXPECT_EQ(Filtered({"\xC2", "\x9B"}), "\\xC2\\x9B");  // a C1 control in two pieces
  EXPECT_EQ(Filtered({"\xE2\x82", "x"}), "\\xE2\\x82x");
  EXPECT_EQ(Filtered({"x\xE2\x82"}), "x\\xE2\\x82");  // never finished
}

}  // namespace
}  // namespace sluice
