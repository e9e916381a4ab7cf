// profile: which nodes are seen, what they are said to cost, and the trace. No test looks at a time
// but for its sign and order.
#include "tools/profile/profile.h"
#include "tools/engine/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "backends/cpu/cpu_backend.h"
#include "models/model.h"
#include "models/shapes/shaped_model.h"
#include "passes/pipeline.h"
#include "tools/profile/report.h"
#include "tools/profile/trace.h"
#include "tools/views/trace.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The embedded model, a prompt of 20 tokens in steps of 8, twice, and 3 decode steps.
class EmbeddedProfile : public testing::Test {
 protected:
  void SetUp() override {
    auto model = Model::LoadEmbedded();
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    auto session = tools::OpenSession(*model_, *backend_, {.max_tokens = 8, .context = 64},
                                      {.prepack_bytes = 0});
    ASSERT_TRUE(session.ok()) << session.status();
    session_ = *std::move(session);
    auto profile = ProfileSteps(*session_, options_);
    ASSERT_TRUE(profile.ok()) << profile.status();
    profile_ = *std::move(profile);
  }

  const Graph& GraphOf(const ProfiledStep& step) {
    auto executable = session_->ExecutableFor(step.size.tokens);
    EXPECT_TRUE(executable.ok()) << executable.status();
    return (*executable)->graph();
  }

  const ProfileOptions options_ = {.prompt = 20, .generate = 3, .depth = 5, .repetitions = 2};
  const std::unique_ptr<Backend> backend_ = MakeCpuBackend({.threads = 1});
  std::unique_ptr<Model> model_;
  std::unique_ptr<Session> session_;
  Profile profile_;
};

TEST_F(EmbeddedProfile, StepsAreThoseThatWereAskedFor) {
  std::vector<std::string> steps;
  for (const ProfiledStep& step : profile_.steps) {
    steps.push_back(absl::StrCat(Name(step.phase), " ", step.sample, ": ", step.size.tokens, " to ",
                                 step.size.length, " by ", step.bucket));
    EXPECT_GE(step.seconds, 0);
  }
  EXPECT_THAT(
      steps,
      ElementsAre("prefill 0: 8 to 13 by 8", "prefill 0: 8 to 21 by 8", "prefill 0: 4 to 25 by 4",
                  "prefill 1: 8 to 13 by 8", "prefill 1: 8 to 21 by 8", "prefill 1: 4 to 25 by 4",
                  "decode 0: 1 to 6 by 1", "decode 1: 1 to 7 by 1", "decode 2: 1 to 8 by 1"));
}

TEST_F(EmbeddedProfile, EveryNodeOfAStepIsSeenOnceAndInOrder) {
  size_t run = 0;
  double end = 0;
  for (size_t s = 0; s < profile_.steps.size(); ++s) {
    for (const auto& node : GraphOf(profile_.steps[s]).nodes()) {
      if (node->once()) continue;
      ASSERT_LT(run, profile_.runs.size());
      const NodeRun& seen = profile_.runs[run++];
      const ProfiledNode& facts = profile_.nodes[seen.node];
      ASSERT_EQ(facts.name, node->name());
      EXPECT_EQ(seen.step, s);
      EXPECT_EQ(facts.op, node->op().name);
      EXPECT_EQ(facts.kernel, node->kernel());
      EXPECT_EQ(facts.origin, node->origin());
      EXPECT_GE(seen.seconds, 0);
      EXPECT_GE(seen.start, end - 1e-9) << "the clock's resolution, and rounding";
      end = seen.start + seen.seconds;
    }
  }
  EXPECT_EQ(run, profile_.runs.size());
}

TEST_F(EmbeddedProfile, CostsAddUpToThoseOfTheStep) {
  for (size_t s = 0; s < profile_.steps.size(); ++s) {
    OpCost sum;
    for (const NodeRun& run : profile_.runs) {
      if (run.step == s) sum = sum + run.cost;
    }
    const ProfiledStep& step = profile_.steps[s];
    const auto cost = CostOfStep(GraphOf(step), step.size);
    ASSERT_TRUE(cost.ok()) << cost.status();
    EXPECT_GT(sum.flops, 0);
    // Sums of whole numbers below 2^53: exact in any order.
    EXPECT_EQ(sum.flops, cost->total.flops);
    EXPECT_EQ(sum.bytes_read, cost->total.bytes_read);
    EXPECT_EQ(sum.bytes_written, cost->total.bytes_written);
  }
}

TEST_F(EmbeddedProfile, EveryGroupingHoldsAllRuns) {
  for (const Phase phase : {Phase::kPrefill, Phase::kDecode}) {
    const PhaseTotal total = TotalOf(profile_, phase);
    EXPECT_EQ(total.samples, phase == Phase::kPrefill ? 2 : 3);
    EXPECT_EQ(total.steps, phase == Phase::kPrefill ? 3 : 1);
    EXPECT_EQ(total.tokens, phase == Phase::kPrefill ? 20 : 1);
    const auto runs = std::count_if(profile_.runs.begin(), profile_.runs.end(), [&](auto& run) {
      return profile_.steps[run.step].phase == phase;
    });
    for (const ProfileKey key : AllProfileKeys()) {
      SCOPED_TRACE(Name(key));
      double calls = 0, bytes = 0;
      for (const ProfileRow& row : GroupRuns(profile_, phase, key)) {
        calls += row.calls;
        bytes += row.cost.bytes_read;
        EXPECT_LE(row.seconds.low, row.seconds.median);
        EXPECT_LE(row.seconds.median, row.seconds.high);
      }
      EXPECT_NEAR(calls * static_cast<double>(total.samples), static_cast<double>(runs), 1e-6);
      EXPECT_NEAR(bytes, total.all.cost.bytes_read, 1e-9 * bytes);
    }
  }
}

TEST(Spread, IsMedianAndQuartiles) {
  EXPECT_EQ(SpreadOf({}).median, 0);
  EXPECT_EQ(SpreadOf({7}).high, 7);
  const Spread five = SpreadOf({5, 1, 1000, 2, 4});
  EXPECT_EQ(five.low, 2);
  EXPECT_EQ(five.median, 4);
  EXPECT_EQ(five.high, 5);
  EXPECT_EQ(SpreadOf({1, 2}).median, 1.5);
}

// A prompt of two nodes, run three times, the second time with the first node held up; and a decode
// step.
Profile HeldUp() {
  Profile profile;
  profile.nodes = {{.name = "p", .op = "matmul", .kernel = "k", .arithmetic = Arithmetic::kInt8},
                   {.name = "q", .op = "add"}};
  for (const int64_t sample : {0, 1, 2}) {
    profile.steps.push_back({.phase = Phase::kPrefill,
                             .sample = sample,
                             .bucket = 16,
                             .size = {.tokens = 9},
                             .seconds = sample == 1 ? 100.0 : 8.0});
    const auto step = static_cast<size_t>(sample);
    profile.runs.push_back({.node = 0,
                            .step = step,
                            .seconds = sample == 1 ? 90.0 : 4.0,
                            .cost = {.flops = 1600, .bytes_read = 800}});
    profile.runs.push_back({.node = 1,
                            .step = step,
                            .seconds = 2.0,
                            .cost = {.flops = 50, .bytes_read = 3000, .bytes_written = 1000}});
  }
  profile.steps.push_back(
      {.phase = Phase::kDecode, .bucket = 1, .size = {.tokens = 1}, .seconds = 0.5});
  profile.runs.push_back({.node = 1, .step = 3, .seconds = 0.25, .cost = {.flops = 5}});
  return profile;
}

const Ceiling kMadeUp = {.threads = 1,
                         .transfers = {{100, 800}, {4000, 2000.0 / 3}},
                         .operations_per_second = {100, 100, 800}};

TEST(ProfileRows, OneSampleThatIsHeldUpMovesNoMedian) {
  const std::vector<ProfileRow> rows =
      GroupRuns(HeldUp(), Phase::kPrefill, ProfileKey::kOp, kMadeUp);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].key, "matmul");
  EXPECT_EQ(rows[0].seconds.median, 4);
  EXPECT_EQ(rows[0].seconds.low, 4);
  EXPECT_EQ(rows[0].seconds.high, 47);
  EXPECT_EQ(rows[0].calls, 1);
  // Each against the rates of its own kind and of its own bytes.
  EXPECT_DOUBLE_EQ(rows[0].transfer_seconds, 1);
  EXPECT_DOUBLE_EQ(rows[0].compute_seconds, 2);
  EXPECT_DOUBLE_EQ(rows[1].transfer_seconds, 6);
  EXPECT_DOUBLE_EQ(rows[1].compute_seconds, 0.5);
  const PhaseTotal total = TotalOf(HeldUp(), Phase::kPrefill, kMadeUp);
  EXPECT_EQ(total.all.seconds.median, 8);
  EXPECT_EQ(total.between.median, 2);
  EXPECT_EQ(total.samples, 3);
  EXPECT_EQ(total.steps, 1);
  EXPECT_EQ(total.tokens, 9);
  EXPECT_DOUBLE_EQ(total.all.transfer_seconds, 7);
  const std::string text =
      ProfileText(HeldUp(), {.keys = {ProfileKey::kOp}, .ceiling = kMadeUp, .most_rows = 0});
  EXPECT_THAT(text, HasSubstr("| matmul        |  4000.000 | 4000.000-47000.000 |   50.0 |"));
  EXPECT_THAT(text, HasSubstr("prefill: 9 tokens in 1 step, 1.1 tokens/s; median of 3 samples"));
  EXPECT_THAT(text, HasSubstr("decode: 1 token in 1 step, 2.0 tokens/s; median of 1 sample,"));
}

// What was measured of one graph is never shown on another.
TEST(ProfileRows, TracesAreReadPhaseByPhase) {
  const std::string trace = ChromeTrace(HeldUp(), "t");
  const auto prefill = ReadTrace(trace, "t.json", 16);
  ASSERT_TRUE(prefill.ok()) << prefill.status();
  EXPECT_EQ(prefill->phase, "prefill");
  EXPECT_EQ(prefill->bucket, 16);
  ASSERT_EQ(prefill->nodes.size(), 2u);
  EXPECT_EQ(prefill->nodes.at("p").microseconds, 4e6);
  EXPECT_EQ(prefill->nodes.at("p").runs, 3);
  EXPECT_EQ(prefill->nodes.at("q").microseconds, 2e6);
  const auto decode = ReadTrace(trace, "t.json", 1);
  ASSERT_TRUE(decode.ok()) << decode.status();
  EXPECT_EQ(decode->phase, "decode");
  ASSERT_EQ(decode->nodes.size(), 1u);
  EXPECT_EQ(decode->nodes.at("q").microseconds, 0.25e6);
  const absl::Status other = ReadTrace(trace, "t.json", 512).status();
  EXPECT_TRUE(absl::IsNotFound(other));
  EXPECT_THAT(std::string(other.message()),
              HasSubstr("t.json: no times of steps of up to 512 tokens: it has decode of up to 1, "
                        "prefill of up to 16"));
}

TEST_F(EmbeddedProfile, ContextThatIsTooSmallIsAnError) {
  const auto profile = ProfileSteps(*session_, {.prompt = 60, .generate = 1, .depth = 10});
  EXPECT_EQ(profile.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(profile.status().message()),
              HasSubstr("need a context of 70 tokens, expected at most 64"));
}

TEST_F(EmbeddedProfile, TracesHoldEveryRunWithItsFacts) {
  const auto trace = nlohmann::json::parse(ChromeTrace(profile_, "title \xff"));
  ASSERT_TRUE(trace["traceEvents"].is_array());
  std::map<std::string, int> phases;
  size_t nodes = 0;
  double bytes = 0, expected_bytes = 0;
  std::set<std::pair<std::string, int>> seen;
  for (const auto& event : trace["traceEvents"]) {
    ++phases[event["ph"]];
    ASSERT_TRUE(event["name"].is_string());
    ASSERT_TRUE(event["pid"].is_number() && event["tid"].is_number());
    if (event["ph"] != "X") continue;
    EXPECT_GE(event["ts"].get<double>(), 0);
    EXPECT_GE(event["dur"].get<double>(), 0);
    if (event["tid"] != 1) continue;
    ++nodes;
    EXPECT_EQ(event["cat"], event["args"]["op"]);
    for (const char* key : {"kernel", "origin", "phase", "sample", "bucket", "tokens", "flops"}) {
      EXPECT_TRUE(event["args"].contains(key)) << key;
    }
    const auto name = event["name"].get<std::string>();
    EXPECT_TRUE(seen.emplace(name, event["args"]["step"].get<int>()).second) << name;
    bytes += event["args"]["bytes"].get<double>();
  }
  for (const NodeRun& run : profile_.runs) {
    expected_bytes += run.cost.bytes_read + run.cost.bytes_written;
  }
  EXPECT_EQ(nodes, profile_.runs.size());
  EXPECT_EQ(bytes, expected_bytes);
  EXPECT_EQ(phases["M"], 3);
  EXPECT_EQ(phases["X"], static_cast<int>(profile_.runs.size() + profile_.steps.size()));
}

TEST_F(EmbeddedProfile, ReportsHaveTheTablesThatWereAskedFor) {
  const ProfileReport report = {
      .keys = {ProfileKey::kPart, ProfileKey::kOrigin},
      .ceiling = {.threads = 1, .transfers = {{1, 1e10}}, .operations_per_second = {1e11}},
      .most_rows = 2};
  const auto json = nlohmann::json::parse(ProfileJson(profile_, report));
  ASSERT_EQ(json["phases"].size(), 2u);
  const auto& decode = json["phases"][1];
  EXPECT_EQ(decode["phase"], "decode");
  EXPECT_EQ(decode["samples"], 3);
  EXPECT_EQ(decode["tokens"], 1);
  EXPECT_TRUE(decode.contains("by_part") && decode.contains("by_origin"));
  EXPECT_FALSE(decode.contains("by_op"));
  std::set<std::string> origins;
  for (const auto& row : decode["by_origin"]) origins.insert(row["key"]);
  EXPECT_THAT(origins, testing::Contains("builder"));
  const std::string text = ProfileText(profile_, report);
  EXPECT_THAT(text, HasSubstr("prefill: 20 tokens in 3 steps"));
  EXPECT_THAT(text, HasSubstr("decode: 1 token in 1 step"));
  EXPECT_THAT(text, HasSubstr("between nodes"));
  EXPECT_THAT(text, HasSubstr(" more"));
}

// Every node that does something belongs to a part, as built and after all passes, for decode steps
// and for prompts.
TEST(Parts, CoverAllNodesOfEveryShape) {
  const std::unique_ptr<Backend> backend = MakeCpuBackend({.threads = 1});
  const std::string path = absl::StrCat(testing::TempDir(), "sluice.parts.", getpid(), ".gguf");
  for (const ModelShape& shape : ModelShapes()) {
    ASSERT_TRUE(
        WriteShapedModel(
            shape, {.mix = FindQuantisationMix("F16"), .layers = 2, .metadata_only = true}, path)
            .ok());
    const auto model = Model::Load(path);
    std::filesystem::remove(path);
    ASSERT_TRUE(model.ok()) << model.status();
    for (const int64_t tokens : {1, 64}) {
      auto graph = (*model)->BuildGraph({.max_tokens = tokens, .context = 64});
      ASSERT_TRUE(graph.ok()) << graph.status();
      for (const bool optimised : {false, true}) {
        if (optimised) {
          ASSERT_TRUE(Optimize(*backend, {}, &*graph).ok());
        }
        std::set<Part> parts;
        for (const auto& node : graph->nodes()) {
          if (node->op().is_view || node->once()) continue;
          parts.insert(PartOf(*node));
          EXPECT_NE(PartOf(*node), Part::kOther) << shape.name << " " << node->name();
        }
        for (const Part part :
             {Part::kEmbedding, Part::kQkv, Part::kAttention, Part::kAttentionOutput, Part::kGateUp,
              Part::kDown, Part::kOutput}) {
          EXPECT_TRUE(parts.contains(part)) << shape.name << " " << Name(part);
        }
        EXPECT_EQ(parts.contains(Part::kRouter), shape.experts > 0) << shape.name;
      }
    }
  }
}

}  // namespace
}  // namespace sluice
