// What commands print, by format, and their exit codes: what scripts go by.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "graph/op_def.h"
#include "tests/support/program.h"
#include "tools/engine/options.h"

namespace sluice {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr int kFailed = 1, kWrongUsage = 2;

// Standard output of a command that succeeds, with the embedded model unless a file is named.
std::string OutputOf(const std::vector<std::string>& arguments) {
  Program program(arguments);
  EXPECT_EQ(program.Finish(), 0) << program.errors();
  return program.output();
}

std::vector<std::string> Lines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

TEST(Ops, PrintRangesAndKernelsFromTheRecords) {
  EXPECT_THAT(OutputOf({"ops", "embedding"}), HasSubstr("ids: i32[n]; below vocab"));
  const std::string all = OutputOf({"ops", "--matrix"});
  for (const auto& op : StandardOps().ops()) {
    EXPECT_THAT(all, HasSubstr(absl::StrCat(op->name, "\n  cpu ")));
  }
  const std::vector<std::string> lines = Lines(OutputOf({"ops", "matmul", "--matrix"}));
  ASSERT_GT(lines.size(), 2);
  EXPECT_EQ(lines.front(), "matmul");
  EXPECT_THAT(lines, testing::Contains(testing::ContainsRegex("^  cpu +cpu\\.matmul.* q4_k")));
  EXPECT_THAT(lines.back(), testing::ContainsRegex("^  ref +reference +f32 .*q8_0"));
}

class Commands : public testing::Test {
 protected:
  Commands() { std::filesystem::create_directories(folder_); }
  ~Commands() override { std::filesystem::remove_all(folder_); }
  std::string Path(const std::string& name) const { return absl::StrCat(folder_, "/", name); }

  const std::string folder_ =
      absl::StrCat(testing::TempDir(), "/commands_test.", static_cast<int64_t>(getpid()));
};

std::vector<std::string> Bench(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"bench", "-t", "1", "-r", "2"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::vector<std::string> TestsOf(const Json& records) {
  std::vector<std::string> tests;
  for (const Json& record : records) {
    EXPECT_GT(record["avg_ts"], 0);
    EXPECT_EQ(record["samples_ts"].size(), 2);
    tests.push_back(record["test"]);
  }
  return tests;
}

TEST_F(Commands, BenchMeasuresWhatIsAskedFor) {
  const Json json = Json::parse(OutputOf(
      Bench({"-p", "8,4", "-n", "2", "-pg", "8,2", "--parallel", "1,3", "-d", "4", "-o", "json"})));
  EXPECT_THAT(TestsOf(json),
              ElementsAre("pp8 @ d4", "pp4 @ d4", "tg2 @ d4", "tg2 x3 @ d4", "pp8+tg2 @ d4"));
}

TEST_F(Commands, BenchFormatsHoldTheSame) {
  const std::vector<std::string> lines =
      Lines(OutputOf(Bench({"-p", "8", "-n", "2", "-o", "jsonl"})));
  ASSERT_EQ(lines.size(), 2);
  Json records;
  for (const std::string& line : lines) records.push_back(Json::parse(line));
  EXPECT_THAT(TestsOf(records), ElementsAre("pp8", "tg2"));

  const std::vector<std::string> table =
      Lines(OutputOf(Bench({"-p", "8", "-n", "2", "-o", "csv"})));
  ASSERT_EQ(table.size(), 3);
  std::vector<std::string> names;
  for (const auto& [name, value] : records[0].items()) names.push_back(name);
  EXPECT_THAT(absl::StrSplit(table[0], ','), testing::UnorderedElementsAreArray(names));
  EXPECT_THAT(table[1], HasSubstr(",\"pp8\","));

  const std::vector<std::string> page = Lines(OutputOf(Bench({"-p", "8", "-n", "0"})));
  ASSERT_EQ(page.size(), 3);
  EXPECT_THAT(page[0], StartsWith("| model |"));
}

TEST_F(Commands, BenchSaysWhatItCannotMeasure) {
  Program nothing(Bench({"-p", "0", "-n", "0"}));
  EXPECT_EQ(nothing.Finish(), kFailed);
  EXPECT_THAT(nothing.errors(), HasSubstr("nothing to measure"));
  Program half(Bench({"-pg", "8"}));
  EXPECT_EQ(half.Finish(), kFailed);
  EXPECT_THAT(half.errors(), HasSubstr("-pg 8: expected two numbers"));
  Program format(Bench({"-o", "xml"}));
  EXPECT_EQ(format.Finish(), kWrongUsage);
}

TEST_F(Commands, PerplexityComparesARunWithAnother) {
  std::ofstream(Path("text")) << "Once upon a time, there was a little fox who lived in a wood.";
  const std::vector<std::string> common = {"perplexity", "-f", Path("text"), "-c", "8",
                                           "--skip",     "0",  "-t",         "1"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = common;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  OutputOf(with({"--logits-out", Path("logits"), "--prepack-memory", "0"}));
  const Json json = Json::parse(OutputOf(with({"--kl-against", Path("logits"), "-o", "json"})));
  EXPECT_EQ(json["window"], 8);
  EXPECT_EQ(json["predictions"], 7 * json["windows"].get<int64_t>());
  // Packed weights round activations to 8 bits: near, but not equal.
  EXPECT_GT(json["kl_mean"], 0);
  EXPECT_LT(json["kl_mean"], 0.01);
  EXPECT_NEAR(json["perplexity"].get<double>() / json["base_perplexity"].get<double>(), 1, 0.1);
  EXPECT_THAT(OutputOf(with({"--kl-against", Path("logits")})), HasSubstr("mean KL"));

  Program other(with({"--kl-against", Path("text")}));
  EXPECT_EQ(other.Finish(), kFailed);
  EXPECT_THAT(other.errors(), HasSubstr("expected the float32 logits of"));
  Program nothing({"perplexity", "-f", Path("text"), "-c", "8", "--skip", "7"});
  EXPECT_EQ(nothing.Finish(), kFailed);
  EXPECT_THAT(nothing.errors(), HasSubstr("--skip 7 leaves nothing"));
}

// The embedded model's context is of 512 tokens.
TEST_F(Commands, NoneTakesMoreContextThanTheModelHas) {
  std::ofstream(Path("text")) << "Once upon a time, there was a little fox who lived in a wood.";
  const std::vector<std::vector<std::string>> commands = {
      {"run", "-n", "1", "-p", "Once", "--temp", "0", "-s", "1"},
      {"dump", "--tokens", "1"},
      {"inspect"},
      {"passes"},
      {"perplexity", "-f", Path("text"), "-t", "1"}};
  for (std::vector<std::string> command : commands) {
    SCOPED_TRACE(command[0]);
    command.insert(command.end(), {"-c", "100000"});
    Program more(command);
    EXPECT_EQ(more.Finish(), 0) << more.errors();
    EXPECT_THAT(more.errors(), HasSubstr("warning: -c 100000: the model's context ends at 512 "
                                         "tokens, which is taken instead\n"));
    command.back() = "0";
    Program own(command);
    EXPECT_EQ(own.Finish(), 0) << own.errors();
    EXPECT_THAT(own.errors(), testing::Not(HasSubstr("-c ")));
    if (command[0] == "dump") {
      EXPECT_EQ(more.output(), own.output());
    }
  }
}

TEST(ContextOptions, TakeWhatIsAskedForUpToTheModels) {
  const ModelConfig config = {.context_length = 2048};
  EXPECT_EQ((tools::ContextOptions{.usual = 4096}.For(config)), 2048);
  EXPECT_EQ((tools::ContextOptions{.usual = 4096}.Warning(config)), "") << "nobody asked for it";
  EXPECT_EQ((tools::ContextOptions{.usual = 512}.For(config)), 512);
  EXPECT_EQ((tools::ContextOptions{.usual = 512, .asked = 0}.For(config)), 2048);
  EXPECT_EQ((tools::ContextOptions{.usual = 512, .asked = 0}.Warning(config)), "");
  EXPECT_EQ((tools::ContextOptions{.usual = 512, .asked = 2048}.For(config)), 2048);
  EXPECT_EQ((tools::ContextOptions{.usual = 512, .asked = 2048}.Warning(config)), "");
  EXPECT_EQ((tools::ContextOptions{.usual = 512, .asked = 2049}.For(config)), 2048);
  EXPECT_THAT((tools::ContextOptions{.usual = 512, .asked = 2049}.Warning(config)),
              HasSubstr("-c 2049: the model's context ends at 2048 tokens"));
}

TEST_F(Commands, InspectPredictsThePeakOfAPrompt) {
  const Json json = Json::parse(
      OutputOf({"inspect", "-c", "256", "-p", "20", "--format", "json", "--prepack-memory", "0"}));
  EXPECT_EQ(json["peak"]["context"], 256);
  EXPECT_EQ(json["peak"]["prompt"], 20);
  EXPECT_DOUBLE_EQ(json["peak"]["cache"], 32 * json["memory"]["cache_per_token"].get<double>());
  Program longer({"inspect", "-c", "256", "-p", "257"});
  EXPECT_EQ(longer.Finish(), kFailed);
  EXPECT_THAT(longer.errors(), HasSubstr("-p 257: the prompt is longer than the context of 256"));
}

TEST_F(Commands, PassesPackWhatRunPacks) {
  const auto line_of = [](const std::string& output) {
    for (const std::string& line : Lines(output)) {
      if (absl::StartsWith(line, "prepack_weights")) return line;
    }
    return std::string("none");
  };
  EXPECT_THAT(line_of(OutputOf({"passes"})), testing::Not(HasSubstr("no change")));
  EXPECT_THAT(line_of(OutputOf({"passes", "--prepack-memory", "0"})), HasSubstr("no change"));
}

TEST_F(Commands, DumpShowsTimesOfItsOwnGraphOnly) {
  OutputOf({"profile", "-p", "8", "-n", "2", "-r", "1", "--trace", Path("trace.json"), "-t", "1"});
  const std::vector<std::string> page = {"dump",    "--format",         "html",
                                         "--trace", Path("trace.json"), "--tokens"};
  const auto with = [&](const std::string& tokens) {
    std::vector<std::string> arguments = page;
    arguments.push_back(tokens);
    return arguments;
  };
  EXPECT_THAT(OutputOf(with("1")),
              HasSubstr(R"("timed":"decode steps of up to 1 token, medians")"));
  Program other(with("300"));
  EXPECT_EQ(other.Finish(), kFailed);
  EXPECT_THAT(other.errors(), HasSubstr("no times of steps of up to 300 tokens: it has decode of "
                                        "up to 1, prefill of up to "));
}

TEST_F(Commands, DumpShowsStepsThatBringTheLikeliestTokens) {
  const std::vector<std::string> whole = {"dump", "--final", "--tokens", "1"};
  EXPECT_THAT(OutputOf(whole), HasSubstr("\noutput %logits\n"));
  std::vector<std::string> likeliest = whole;
  likeliest.push_back("--likeliest");
  const std::string graph = OutputOf(likeliest);
  EXPECT_THAT(graph, HasSubstr("= top_k(%logits) {k=64}"));
  EXPECT_THAT(graph, HasSubstr("\noutput %likeliest\noutput %likeliest_ids\n"));
}

}  // namespace
}  // namespace sluice
