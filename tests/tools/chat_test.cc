// `sluice run --chat` as a user meets it: through pipes and signals, with the embedded model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/paths.h"
#include "tests/support/program.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

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
