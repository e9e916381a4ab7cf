// What holds for every pass and every graph, on thousands of random graphs:
//
//   - graphs come back from text and proto as they were, at every stage;
//   - after every pass the verifier finds nothing and the reference computes the same numbers;
//   - a pass run twice in a row changes nothing the second time;
//   - the CPU backend computes the reference's numbers on what the pipeline made for it;
//   - the pipeline without one of its passes is right, too.
//
//   passes_tests --only=passes/pass_property_test.cc --seed=123      one graph, before and after
//   passes_tests --only=passes/pass_property_test.cc --graphs=50000  more of them
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/decoder_interface.h"
#include "graph/proto_io.h"
#include "graph/text.h"
#include "passes/pipeline.h"
#include "tests/support/arguments.h"
#include "tests/support/random_graph.h"
#include "tests/support/sanitized.h"
#include "tools/debug/compare.h"
#include "tools/debug/random_data.h"

namespace sluice {
namespace {

constexpr uint64_t kGraphs = kSanitized ? 150 : 2000;
constexpr int kMaxFailures = 3;

struct Arguments {
  uint64_t first = 1, count = kGraphs;
  bool verbose = false;
};
Arguments ReadArguments() {
  Arguments arguments;
  for (absl::string_view argument : TestArguments()) {
    uint64_t number = 0;
    if (absl::ConsumePrefix(&argument, "--seed=") && absl::SimpleAtoi(argument, &number)) {
      arguments = {.first = number, .count = 1, .verbose = true};
    } else if (absl::ConsumePrefix(&argument, "--graphs=") && absl::SimpleAtoi(argument, &number)) {
      arguments.count = number;
    }
  }
  return arguments;
}

struct PassTotals {
  int64_t changed = 0;  // graphs that it changed
  int64_t refused = 0;  // matches that it explained away
};
using Totals = std::map<std::string, PassTotals, std::less<>>;

// --- Tolerances -----------------------------------------------------------------------------

// The narrowest format that values are rounded to on their way.
DType NarrowestOf(const Graph& graph) {
  DType narrowest = DType::kF32;
  const auto look_at = [&](const Value& value) {
    const DType dtype = value.type().dtype;
    if (dtype == DType::kBF16 || (dtype == DType::kF16 && narrowest == DType::kF32)) {
      narrowest = dtype;
    }
  };
  for (const auto& state : graph.states()) look_at(*state);
  for (const auto& node : graph.nodes()) {
    for (const auto& result : node->results()) look_at(*result);
  }
  return narrowest;
}

// Bounds of the NMSE of each output. `roundings` is the relative error of one value of a node,
// which a chain of nodes and cancellation in its sums make larger. A value that lies next to a tie
// of a narrower format is rounded up on one side and down on the other: one such value in an output
// of eight, say, differs by a step of 2^-11 (f16) or 2^-8 (bf16).
double Tolerance(double roundings, DType narrowest) {
  constexpr double kAmplified = 1e3;
  const double all = roundings * roundings * kAmplified;
  if (narrowest == DType::kF16) return all + 0x1p-22 / 8;
  if (narrowest == DType::kBF16) return all + 0x1p-16 / 8;
  return all;
}
// The reference adds in float64 and in the same order before and after a pass. Only roundings to
// float32 of values that a fusion keeps to itself vanish.
constexpr double kPassRoundings = 0x1p-24;
// float32 sums of up to 256 products against float64 ones: a random walk of 16 roundings' length.
constexpr double kCpuRoundings = 16 * 0x1p-24;
// An activation next to a tie of its 8 bits, likewise: a step of a 127th of the largest of 32.
constexpr double kActivationStep = 0x1p-14;

double WorstNmse(const std::vector<std::vector<float>>& expected,
                 const std::vector<std::vector<float>>& got) {
  double worst = expected.size() == got.size() ? 0 : INFINITY;
  for (size_t i = 0; i < std::min(expected.size(), got.size()); ++i) {
    worst = std::max(worst, Nmse({expected[i]}, {got[i]}));
  }
  return worst;
}

// --- One graph ------------------------------------------------------------------------------

// Checks return what is wrong, or "".
std::string Wrong(absl::string_view what, const absl::Status& status) {
  return status.ok() ? "" : absl::StrCat(what, ": ", status.ToString());
}

std::string CheckForms(const Graph& graph) {
  const std::string text = Print(graph);
  const absl::StatusOr<Graph> parsed = Parse(text);
  if (!parsed.ok()) return Wrong("reading the text", parsed.status());
  if (Print(*parsed) != text) return absl::StrCat("the text comes back as\n", Print(*parsed));
  const absl::StatusOr<Graph> loaded = FromProto(ToProto(graph));
  if (!loaded.ok()) return Wrong("reading the proto", loaded.status());
  if (Print(*loaded) != text) return absl::StrCat("the proto comes back as\n", Print(*loaded));
  return "";
}

class GraphCheck {
 public:
  GraphCheck(uint64_t seed, Totals* totals)
      : seed_(seed),
        totals_(totals),
        ref_(MakeRefBackend()),
        cpu_(MakeCpuBackend({.threads = 1})) {}

  std::string Run() {
    absl::StatusOr<Graph> graph = MakeRandomGraph(seed_);
    if (!graph.ok()) return Wrong("generator", graph.status());
    graph_ = *std::move(graph);
    before_ = Print(graph_);
    if (std::string wrong = CheckForms(graph_); !wrong.empty()) return wrong;
    ChooseSizes();
    absl::StatusOr<RandomData> data = RandomData::Make(graph_, seed_, {}, sizes_);
    if (!data.ok()) return Wrong("random data", data.status());
    data_ = *std::move(data);
    auto expected = data_.Run(*ref_, graph_);
    if (!expected.ok()) return Wrong("reference", expected.status());
    expected_ = *std::move(expected);
    narrowest_ = NarrowestOf(graph_);

    if (std::string wrong = CheckPipeline({}, ""); !wrong.empty()) return wrong;
    const Pass& left_out = Pipeline()[seed_ % Pipeline().size()];
    if (std::string wrong = CheckPipeline({}, left_out.name); !wrong.empty()) {
      return absl::StrCat("without ", left_out.name, ": ", wrong);
    }
    PackPlan packs = {.budget = seed_ % 3 == 0 ? 0x1000 : 0x1000000};
    std::string wrong =
        CheckPipeline({.caps = &cpu_->caps(), .kernels = cpu_->kernels(), .packs = &packs}, "");
    if (wrong.empty()) wrong = CheckCpu();
    return wrong.empty() ? "" : absl::StrCat("for cpu: ", wrong);
  }

  const std::string& before() const { return before_; }
  const std::string& after() const { return after_; }

 private:
  // Steps are smaller than the largest that the graph is for, and so are buckets, now and then.
  void ChooseSizes() {
    const int64_t tokens = graph_.Bounds().Get(decoder::kTokens);
    const auto bucket = 1 + static_cast<int64_t>(seed_ / 2) % tokens;
    if (seed_ % 2 == 0) bucket_.Set(decoder::kTokens, bucket);
    sizes_.Set(decoder::kTokens, 1 + static_cast<int64_t>(seed_) % bucket);
  }

  std::string CheckPipeline(CompileContext context, absl::string_view left_out) {
    context.bucket = bucket_;
    stage_ = graph_.Clone();
    for (const Pass& pass : Pipeline()) {
      if (pass.name == left_out) continue;
      const std::string wrong = CheckPass(pass, context);
      if (!wrong.empty()) return absl::StrCat("pass ", pass.name, ": ", wrong);
    }
    return "";
  }

  std::string CheckPass(const Pass& pass, CompileContext& context) {
    PassTotals& totals = (*totals_)[std::string(pass.name)];
    context.explain = [&](const std::string&) { ++totals.refused; };
    std::vector<PassReport> report;
    // Verifies, and compares the reported `changed` with what has changed.
    after_ = Print(stage_);  // for messages: a graph that the verifier refuses cannot be printed
    const absl::Status status = RunPasses({&pass, 1}, context, {}, &stage_, &report);
    if (!status.ok()) return absl::StrCat(status.message(), "\n(the stage is the one before)");
    if (!report[0].changed) return "";
    after_ = Print(stage_);
    ++totals.changed;
    if (std::string wrong = CheckForms(stage_); !wrong.empty()) return wrong;
    auto got = data_.Run(*ref_, stage_);
    if (!got.ok()) return Wrong("reference", got.status());
    const double nmse = WorstNmse(expected_, *got);
    if (!(nmse < Tolerance(kPassRoundings, narrowest_))) return absl::StrCat("NMSE is ", nmse);
    return CheckSecondRun(pass, context);
  }

  std::string CheckSecondRun(const Pass& pass, CompileContext context) {
    context.explain = nullptr;
    std::vector<PassReport> report;
    const absl::Status status = RunPasses({&pass, 1}, context, {}, &stage_, &report);
    if (!status.ok()) return absl::StrCat("the second time: ", status.message());
    if (!report[0].changed) return "";
    return absl::StrCat("a second run changes the graph again; it makes it\n", Print(stage_));
  }

  std::string CheckCpu() {
    const auto rounding_ref = MakeRefBackend({.round_activations = true});
    const auto expected = data_.Run(*rounding_ref, stage_), got = data_.Run(*cpu_, stage_);
    if (!expected.ok()) return Wrong("reference", expected.status());
    if (!got.ok()) return Wrong("run", got.status());
    const bool is_packed =
        std::any_of(stage_.weights().begin(), stage_.weights().end(),
                    [](const auto& weight) { return !weight->layout().empty(); });
    const double nmse = WorstNmse(*expected, *got),
                 tolerance = Tolerance(kCpuRoundings, narrowest_) + is_packed * kActivationStep;
    if (nmse < tolerance) return "";
    const auto run_on = [this](Backend& backend) {
      return [&](RunObserver* observer) { return data_.Run(backend, stage_, observer).status(); };
    };
    const auto recorded = Recording::Of(run_on(*rounding_ref));
    if (!recorded.ok()) return Wrong("reference", recorded.status());
    const auto compared = Compare(*recorded, run_on(*cpu_), {.tolerance = tolerance});
    return absl::StrCat("NMSE is ", nmse, "; ",
                        compared.ok() && compared->fault.has_value()
                            ? absl::StrCat(compared->fault->reason, "\n", compared->fault->node)
                            : "no node is wrong alone");
  }

  uint64_t seed_;
  Totals* totals_;
  std::unique_ptr<Backend> ref_, cpu_;
  Graph graph_, stage_;
  std::string before_, after_;  // as generated, and at the last stage
  SymbolValues bucket_, sizes_;
  RandomData data_;
  std::vector<std::vector<float>> expected_;
  DType narrowest_ = DType::kF32;
};

void Report(const Totals& totals, uint64_t end, double seconds) {
  const uint64_t first = ReadArguments().first;
  std::cout << absl::StrFormat("seeds %d to %d: %.1f s, %.0f graphs per second\n", first, end - 1,
                               seconds, static_cast<double>(end - first) / seconds);
  for (const Pass& pass : Pipeline()) {
    const auto it = totals.find(pass.name);
    if (it == totals.end()) continue;
    std::cout << absl::StrFormat("  %-22s changed %6d graphs, refused %6d matches\n", pass.name,
                                 it->second.changed, it->second.refused);
  }
}

TEST(PassProperties, HoldForRandomGraphs) {
  const Arguments arguments = ReadArguments();
  Totals totals;
  int failures = 0;
  const auto start = std::chrono::steady_clock::now();
  uint64_t seed = arguments.first;
  for (; seed < arguments.first + arguments.count && failures < kMaxFailures; ++seed) {
    GraphCheck check(seed, &totals);
    const std::string wrong = check.Run();
    if (arguments.verbose) std::cout << check.before() << "----\n" << check.after();
    if (wrong.empty()) continue;
    ++failures;
    ADD_FAILURE() << "seed " << seed << ": " << wrong << "\n--- as generated\n"
                  << check.before() << "--- at that stage\n"
                  << check.after() << "again with: pass_property_test --seed=" << seed;
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  Report(totals, seed, elapsed.count());
  if (failures > 0 || arguments.count < kGraphs) return;

  // The properties say nothing of a pass that never met what it looks for.
  for (const Pass& pass : Pipeline()) {
    if (pass.name == "add_lora") continue;  // it is there to change the numbers: see lora_test
    if (pass.name == "place") continue;     // it needs several devices: see place_test
    if (pass.name == "derive_operands")
      continue;  // no kernel of the CPU needs it: see vulkan_parity_test
    const PassTotals& seen = totals[std::string(pass.name)];
    EXPECT_GE(seen.changed, static_cast<int64_t>(arguments.count / 100)) << pass.name;
    if (absl::StartsWith(pass.name, "fuse_")) {
      EXPECT_GE(seen.refused, static_cast<int64_t>(arguments.count / 100)) << pass.name;
    }
  }
}

TEST(RandomGraphs, HaveEveryOp) {
  std::map<std::string, int> count;
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    const absl::StatusOr<Graph> graph = MakeRandomGraph(seed);
    ASSERT_TRUE(graph.ok()) << "seed " << seed << ": " << graph.status();
    for (const auto& node : graph->nodes()) ++count[node->op().name];
  }
  for (const auto& op : StandardOps().ops()) {
    EXPECT_GE(count[op->name], 10) << op->name;
  }
}

}  // namespace

}  // namespace sluice
