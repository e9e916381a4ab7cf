// `sluice run --chat` as a user meets it: through pipes and signals, with the embedded model.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/paths.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

// The program at work. What it prints is read up to what a test waits for: no test looks at a
// clock.
class Program {
 public:
  explicit Program(std::vector<std::string> arguments) {
    std::signal(SIGPIPE,
                SIG_IGN);  // a program that ended early fails the test, but not all of them
    int in[2], out[2], errors[2];
    EXPECT_EQ(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC) | pipe2(errors, O_CLOEXEC), 0);
    arguments.insert(arguments.begin(), SLUICE_BINARY);
    child_ = fork();
    if (child_ == 0) {
      alarm(120);
      dup2(in[0], STDIN_FILENO);
      dup2(out[1], STDOUT_FILENO);
      dup2(errors[1], STDERR_FILENO);
      std::vector<char*> argv;
      for (std::string& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(127);
    }
    for (const int theirs : {in[0], out[1], errors[1]}) close(theirs);
    in_ = in[1];
    out_ = {out[0]};
    errors_ = {errors[0]};
  }
  ~Program() {
    if (child_ > 0) Finish();
  }

  void Say(const std::string& text) {
    EXPECT_EQ(write(in_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void Interrupt() const { kill(child_, SIGINT); }
  void AwaitOutput() { out_.Read(1); }
  void AwaitError(const std::string& text) {
    while (errors_.text.find(text) == std::string::npos && errors_.Read(1)) {
    }
  }
  // Ends the input. The exit code, -1 if a signal ended the program.
  int Finish() {
    if (in_ >= 0) close(std::exchange(in_, -1));
    while (errors_.Read(1 << 12)) {
    }
    while (out_.Read(1 << 12)) {
    }
    int status = 0;
    waitpid(std::exchange(child_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  const std::string& output() const { return out_.text; }
  const std::string& errors() const { return errors_.text; }

 private:
  struct Stream {
    int end = -1;
    std::string text;
    bool Read(size_t most) {
      std::string part(most, '\0');
      const ssize_t count = read(end, part.data(), most);
      if (count > 0) text.append(part, 0, static_cast<size_t>(count));
      return count > 0;
    }
  };

  pid_t child_ = -1;
  int in_ = -1;
  Stream out_, errors_;
};

// The embedded model, which knows ChatML; short answers unless `more` says otherwise.
std::vector<std::string> Chat(std::vector<std::string> more = {"-c", "256", "-n", "8"}) {
  std::vector<std::string> arguments = {"run", "--chat", "-t", "1", "-s", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(Chat, AModelWithoutTemplateIsRefusedWithAWayOn) {
  const std::string model = TestDataDir() + "/stories260k/stories260k.gguf";
  Program program({"run", model, "--chat"});
  EXPECT_EQ(program.Finish(), 1);
  EXPECT_THAT(program.errors(), AllOf(HasSubstr("no chat model"), HasSubstr("sluice run -p"),
                                      HasSubstr("--chat-template NAME")));
  Program unknown({"run", model, "--chat", "--chat-template", "nonesuch"});
  EXPECT_EQ(unknown.Finish(), 1);
  EXPECT_THAT(unknown.errors(), AllOf(HasSubstr("'nonesuch'"), HasSubstr("llama3")));
  Program named({"run", model, "--chat", "--chat-template", "chatml", "-n", "1", "-t", "1"});
  EXPECT_EQ(named.Finish(), 0);
  EXPECT_THAT(named.errors(), HasSubstr("none of the marks of chatml"));
}

TEST(Chat, AnswersEachLineAndRunsOnlyWhatIsNew) {
  Program program(Chat({"-sys", "You tell stories.", "-n", "8"}));
  program.Say("Hello there.\n\nAnd then?\n");
  EXPECT_EQ(program.Finish(), 0);
  EXPECT_THAT(program.errors(), AllOf(HasSubstr("chat template: chatml (the model's own)"),
                                      Not(HasSubstr("none of the marks"))));
  // The first answer knows nothing, the second all before it.
  EXPECT_THAT(program.errors(), ContainsRegex("prompt [0-9]+ tokens, 0 known(.|\n)*"
                                              "prompt [0-9]+ tokens, [1-9][0-9]+ known"));
  EXPECT_EQ(std::count(program.output().begin(), program.output().end(), '\n'), 2);
  EXPECT_THAT(program.errors(), Not(HasSubstr("> ")));
}

TEST(Chat, ObeysCommands) {
  Program program(Chat());
  program.Say("/help\n/nonesuch\nHi\n/clear\nHi\n/exit\nnever answered\n");
  EXPECT_EQ(program.Finish(), 0);
  EXPECT_THAT(program.errors(),
              AllOf(HasSubstr("/clear   "), HasSubstr("unknown command /nonesuch"),
                    HasSubstr("forgotten")));
  EXPECT_EQ(std::count(program.output().begin(), program.output().end(), '\n'), 2);
}

TEST(Chat, TakesTheFirstQuestionFromTheCommandLine) {
  Program program(Chat({"-p", "Hello there.", "-n", "8"}));
  EXPECT_EQ(program.Finish(), 0);
  EXPECT_THAT(program.errors(), ContainsRegex("after [0-9]+ tokens"));
}

TEST(Chat, LinesCanGoOn) {
  Program joined(Chat({"-p", "one\ntwo", "-c", "256", "-n", "8"}));
  EXPECT_EQ(joined.Finish(), 0);
  Program split(Chat());
  split.Say("one\\\ntwo");  // the end of the input ends a line, too
  EXPECT_EQ(split.Finish(), 0);
  EXPECT_EQ(split.output(), joined.output());
}

TEST(Chat, SaysWhenTheContextIsFullAndGoesOnAfterClear) {
  Program program(Chat({"-c", "64", "-n", "8"}));
  program.Say("Hi\n" + std::string(400, 'x') + "\n/clear\nHi\n");
  EXPECT_EQ(program.Finish(), 0);
  EXPECT_THAT(program.errors(), ContainsRegex("context of 64 tokens is full(.|\n)*forgotten(.|\n)*"
                                              "after [0-9]+ tokens"));
}

TEST(Chat, CtrlCStopsAnAnswerAndASecondOneTheChat) {
  // The reference backend takes seconds for a story.
  Program program(Chat({"-c", "0", "--backend", "ref", "--temp", "1"}));
  program.Say("Tell me a story.\n");
  program.AwaitOutput();
  program.Interrupt();
  program.AwaitError("[stopped after");
  program.Interrupt();
  EXPECT_EQ(program.Finish(), 0);
}

TEST(Chat, CtrlCAtThePromptAsksForAnother) {
  Program program(Chat());
  program.AwaitError("/help for help");
  program.Interrupt();
  program.AwaitError("Ctrl-C once more");
  program.Say("Hi\n");
  program.AwaitError(" tokens;");
  program.Interrupt();
  program.AwaitError("Ctrl-C once more");
  program.Interrupt();
  EXPECT_EQ(program.Finish(), 0);
}

TEST(Run, AContextBeyondTheModelsIsCutWithAWarning) {
  const std::vector<std::string> short_run = {"run", "-p", "Once", "-n", "1", "-t", "1"};
  Program usual(short_run);
  EXPECT_EQ(usual.Finish(), 0);
  EXPECT_THAT(usual.errors(), Not(HasSubstr("warning")));
  std::vector<std::string> wide = short_run;
  wide.insert(wide.end(), {"-c", "1000000"});
  Program program(wide);
  EXPECT_EQ(program.Finish(), 0);
  EXPECT_THAT(program.errors(), ContainsRegex("-c 1000000: the model's context ends at [0-9]+"));
}

TEST(Run, ShowsTheWarningsOfTheVocabulary) {
  Program program({"run", TestDataDir() + "/hostile/merges-unknown-tokens.gguf", "-p", "a", "-n",
                   "1", "-t", "1"});
  program.Finish();
  EXPECT_THAT(program.errors(), HasSubstr("tokenizer.ggml.merges"));
}

}  // namespace
}  // namespace sluice
