// Malformed files end to end: the sluice program itself, on every file of the pack (or of the
// subset), in whatever build this is. Never a crash, a hang, or memory without bound; a file that
// is refused gets exit code 1 and one clear line.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <regex>

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "tests/support/paths.h"
#include "tests/support/sanitized.h"

namespace sluice {
namespace {

using Json = nlohmann::json;

struct Outcome {
  int exit_code = -1;  // -1: killed by a signal
  std::string errors;  // standard error
  double seconds = 0;
  long peak_kib = 0;
};

// Runs the program with standard output thrown away; kills it after 60 s.
Outcome RunSluice(const std::vector<std::string>& arguments) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) return {};
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
    dup2(pipe_ends[1], STDERR_FILENO);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    std::vector<char*> argv = {const_cast<char*>(SLUICE_BINARY)};
    for (const std::string& argument : arguments)
      argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(pipe_ends[1]);
  Outcome outcome;
  char buffer[4096];
  for (ssize_t n; (n = read(pipe_ends[0], buffer, sizeof buffer)) > 0;) {
    outcome.errors.append(buffer, static_cast<size_t>(n));
  }
  close(pipe_ends[0]);
  int status = 0;
  rusage usage = {};
  wait4(child, &status, 0, &usage);
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  outcome.peak_kib = usage.ru_maxrss;
  if (WIFEXITED(status)) outcome.exit_code = WEXITSTATUS(status);
  return outcome;
}

std::string HostileDir() {
  const std::string pack = ConformanceDir();
  return (pack.empty() ? TestDataDir() : pack) + "/hostile";
}

std::vector<Json> Cases() {
  return Json::parse(std::ifstream(HostileDir() + "/manifest.json"))["cases"];
}

bool Matches(const std::string& text, const std::string& expression) {
  return std::regex_search(text, std::regex(expression, std::regex::icase));
}

class Hostile : public testing::TestWithParam<Json> {};

TEST_P(Hostile, GetsTheExpectedAnswer) {
  const Json& test = GetParam();
  const std::string file = HostileDir() + "/" + test["file"].get<std::string>();
  const std::string expect = test["expect"], message = test["message_matches"];
  const Outcome outcome = RunSluice({"run", file, "-p", "a", "-n", "1", "--temp", "0", "-t", "1"});
  SCOPED_TRACE(test["what"].get<std::string>() + "\n" + outcome.errors);

  ASSERT_TRUE(outcome.exit_code == 0 || outcome.exit_code == 1) << outcome.exit_code;
  EXPECT_LT(outcome.seconds, kSanitized ? 20 : 5);
  if (!kSanitized) {
    EXPECT_LT(outcome.peak_kib, 256 * 1024);
  }
  if (expect == "reject") {
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_TRUE(Matches(outcome.errors, message)) << "expected a match of " << message;
    EXPECT_THAT(outcome.errors, testing::HasSubstr(test["file"].get<std::string>()));
  } else if (outcome.exit_code == 1) {
    // "accept" with an expression: a run-time complaint about the numbers is an answer, too.
    ASSERT_FALSE(expect == "accept" && message.empty());
    EXPECT_TRUE(Matches(outcome.errors, message)) << "expected a match of " << message;
  }
  if (outcome.exit_code == 1) {
    const std::vector<std::string> lines = absl::StrSplit(outcome.errors, '\n', absl::SkipEmpty());
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_TRUE(absl::StartsWith(lines[0], "sluice: "));
  }
  for (char c : outcome.errors) {  // what a file says must not reach the terminal as it is
    EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << static_cast<int>(c);
  }
}

std::string CaseName(const testing::TestParamInfo<Json>& test) {
  std::string name = test.param["file"];
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, Hostile, testing::ValuesIn(Cases()), CaseName);

TEST(CommandLine, WrongUsageIsExitCodeTwo) {
  EXPECT_EQ(RunSluice({}).exit_code, 2);
  EXPECT_EQ(RunSluice({"nonsense"}).exit_code, 2);
  EXPECT_EQ(RunSluice({"run", "--no-such-option"}).exit_code, 2);
  EXPECT_EQ(RunSluice({"run", "--backend", "abacus"}).exit_code, 2);
  EXPECT_EQ(RunSluice({"--help"}).exit_code, 0);
}

TEST(CommandLine, FailureIsOneLineAndExitCodeOne) {
  const Outcome missing = RunSluice({"run", "/no/such/file.gguf", "-p", "a"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.errors, testing::HasSubstr("/no/such/file.gguf"));
  EXPECT_EQ(std::count(missing.errors.begin(), missing.errors.end(), '\n'), 1);
  const Outcome empty = RunSluice({"run", "-p", ""});
  EXPECT_EQ(empty.exit_code, 1);
  EXPECT_THAT(empty.errors, testing::HasSubstr("empty"));
}

}  // namespace
}  // namespace sluice
