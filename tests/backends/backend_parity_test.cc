// Every backend against the reference, case by case, over the one list of op cases.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/text.h"
#include "passes/passes.h"
#include "passes/pipeline.h"
#include "tests/support/op_cases.h"
#include "tests/support/other_device.h"

namespace sluice {
namespace {

void ExpectParity(const OpCase& test, const Graph& graph, Backend& backend, const Graph& compiled) {
  const std::unique_ptr<Backend> ref = MakeRefBackend();
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    auto data = RandomData::Make(graph, seed, test.ranges);
    ASSERT_TRUE(data.ok()) << data.status();
    auto expected = data->Run(*ref, graph);
    auto got = data->Run(backend, compiled);
    ASSERT_TRUE(expected.ok()) << expected.status();
    ASSERT_TRUE(got.ok()) << got.status();
    // float32 against float64 sums of up to 512 products: a random walk of roundings of 2^-24 each
    // gives a relative error of about sqrt(512) * 2^-24 = 1.3e-6, squared 2e-12. Errors of
    // substance (a wrong row, scale or sign) are above 1e-4.
    EXPECT_LT(Nmse(*expected, *got), 1e-11) << "seed " << seed;
  }
}

class CpuParity : public testing::TestWithParam<OpCase> {};

TEST_P(CpuParity, AgreesWithReference) {
  const OpCase& test = GetParam();
  absl::StatusOr<Graph> graph = Parse(test.text, test.name);
  ASSERT_TRUE(graph.ok()) << graph.status() << "\n" << test.text;
  // One thread and several: the split of the work must not show.
  for (int threads : {1, 3}) {
    SCOPED_TRACE(absl::StrCat(threads, " threads"));
    const std::unique_ptr<Backend> cpu = MakeCpuBackend({.threads = threads});
    Graph compiled = graph->Clone();
    const absl::Status status = CompileFor(*cpu, &compiled);
    ASSERT_TRUE(status.ok()) << status;
    ExpectParity(test, *graph, *cpu, compiled);
  }
}

class CpuInPlaceParity : public testing::TestWithParam<OpCase> {};

TEST_P(CpuInPlaceParity, AgreesWithReference) {
  const OpCase& test = GetParam();
  absl::StatusOr<Graph> graph = Parse(test.text, test.name);
  ASSERT_TRUE(graph.ok()) << graph.status() << "\n" << test.text;
  const std::unique_ptr<Backend> cpu = MakeCpuBackend({.threads = 2});
  Graph compiled = graph->Clone();
  const auto copies = CopyReplaceableOperands(&compiled);
  ASSERT_TRUE(copies.ok()) << copies.status();
  const absl::Status status = CompileFor(*cpu, &compiled);
  ASSERT_TRUE(status.ok()) << status;
  for (const auto& [copy, result] : *copies) {
    ASSERT_EQ(copy->mem()->offset, result->mem()->offset) << Print(compiled);
  }
  ExpectParity(test, *graph, *cpu, compiled);
}

std::string CaseName(const testing::TestParamInfo<OpCase>& test) { return TestName(test.param); }
INSTANTIATE_TEST_SUITE_P(All, CpuParity, testing::ValuesIn(AllOpCases()), CaseName);
INSTANTIATE_TEST_SUITE_P(All, CpuInPlaceParity,
                         testing::ValuesIn(CasesWithReplaceableOperands(AllOpCases())), CaseName);

// What no kernel of a device accepts is expanded, as far as it must be.
void ExpectParityExpanded(const OpCase& test, Backend& backend) {
  absl::StatusOr<Graph> graph = Parse(test.text, test.name);
  ASSERT_TRUE(graph.ok()) << graph.status() << "\n" << test.text;
  Graph compiled = graph->Clone();
  const absl::StatusOr<bool> changed = ExpandFused(compiled, ContextOf(backend));
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_TRUE(*changed);
  const absl::Status status = CompileFor(backend, &compiled);
  ASSERT_TRUE(status.ok()) << status;
  ExpectParity(test, *graph, backend, compiled);
}

class CpuExpandedParity : public testing::TestWithParam<OpCase> {};

TEST_P(CpuExpandedParity, AgreesWithReference) {
  ExpectParityExpanded(GetParam(), *MakeCpuBackend({.threads = 2}));
}
INSTANTIATE_TEST_SUITE_P(All, CpuExpandedParity, testing::ValuesIn(OptionalOpCases()), CaseName);

// The expansion of qk_norm_rope_append has qk_norm_rope, which this device does not have, either.
TEST(CpuExpanded, ExpansionsAreExpandedInTurn) {
  const auto device = MakeOtherDevice(
      MakeOtherDevice(MakeCpuBackend({.threads = 2}), "qk_norm_rope"), "qk_norm_rope_append");
  int cases = 0;
  for (const OpCase& test : AllOpCases()) {
    if (!absl::StrContains(test.text, "qk_norm_rope_append(")) continue;
    ExpectParityExpanded(test, *device);
    ++cases;
  }
  EXPECT_GT(cases, 0);
}

class CpuErrors : public testing::TestWithParam<BadIndex> {};

// What only data can show is an error, and not a wild read.
TEST_P(CpuErrors, IndexOutOfRange) {
  const std::vector<OpCase> cases = AllOpCases();
  const auto test = std::find_if(cases.begin(), cases.end(),
                                 [](const OpCase& c) { return c.name == GetParam().op_case; });
  ASSERT_NE(test, cases.end());
  absl::StatusOr<Graph> graph = Parse(test->text, test->name);
  ASSERT_TRUE(graph.ok()) << graph.status();
  const std::unique_ptr<Backend> cpu = MakeCpuBackend({.threads = 1});
  Graph compiled = graph->Clone();
  ASSERT_TRUE(CompileFor(*cpu, &compiled).ok());
  for (const int64_t bad : {int64_t{-1}, GetParam().limit}) {
    ValueRanges ranges = test->ranges;
    ranges[GetParam().input] = {bad, bad};
    auto data = RandomData::Make(*graph, 1, ranges);
    ASSERT_TRUE(data.ok()) << data.status();
    EXPECT_EQ(data->Run(*cpu, compiled).status().code(), absl::StatusCode::kOutOfRange) << bad;
  }
}

INSTANTIATE_TEST_SUITE_P(All, CpuErrors, testing::ValuesIn(AllBadIndices()),
                         [](const auto& test) { return TestName(test.param); });

TEST(OpCases, CoverEveryOp) {
  std::set<std::string> covered;
  std::vector<OpCase> cases = AllOpCases();
  for (OpCase& test : OptionalOpCases()) cases.push_back(std::move(test));
  for (const OpCase& test : cases) {
    absl::StatusOr<Graph> graph = Parse(test.text, test.name);
    ASSERT_TRUE(graph.ok()) << graph.status();
    for (const auto& node : graph->nodes()) covered.insert(node->op().name);
  }
  for (const auto& op : StandardOps().ops()) {
    EXPECT_TRUE(covered.contains(op->name)) << op->name << " is in no case";
  }
}

}  // namespace
}  // namespace sluice
