// Every backend against the reference, case by case, over the one list of op cases.
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_replace.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/text.h"
#include "passes/pipeline.h"
#include "tests/support/op_cases.h"

namespace sluice {
namespace {

class CpuParity : public testing::TestWithParam<OpCase> {};

TEST_P(CpuParity, AgreesWithReference) {
  const OpCase& test = GetParam();
  absl::StatusOr<Graph> graph = Parse(test.text, test.name);
  ASSERT_TRUE(graph.ok()) << graph.status() << "\n" << test.text;
  const std::unique_ptr<Backend> ref = MakeRefBackend();
  // One thread and several: the split of the work must not show.
  for (int threads : {1, 3}) {
    const std::unique_ptr<Backend> cpu = MakeCpuBackend({.threads = threads});
    const CompileContext context{.caps = &cpu->caps(), .kernels = cpu->kernels()};
    Graph compiled = graph->Clone();
    const std::vector<Pass> passes = {*FindPass("select_kernels"), *FindPass("plan_memory")};
    const absl::Status status = RunPasses(passes, context, {}, &compiled);
    ASSERT_TRUE(status.ok()) << status;
    for (uint64_t seed = 1; seed <= 2; ++seed) {
      auto data = RandomData::Make(*graph, seed, test.ranges);
      ASSERT_TRUE(data.ok()) << data.status();
      auto expected = data->Run(*ref, *graph);
      auto got = data->Run(*cpu, compiled);
      ASSERT_TRUE(expected.ok()) << expected.status();
      ASSERT_TRUE(got.ok()) << got.status();
      // float32 against float64 sums of up to 512 products: a random walk of roundings of 2^-24
      // each gives a relative error of about sqrt(512) * 2^-24 = 1.3e-6, squared 2e-12. Errors of
      // substance (a wrong row, scale or sign) are above 1e-4.
      EXPECT_LT(Nmse(*expected, *got), 1e-11) << "threads " << threads << ", seed " << seed;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, CpuParity, testing::ValuesIn(AllOpCases()), [](const auto& test) {
  return absl::StrReplaceAll(test.param.name, {{"/", "_"}});
});

TEST(OpCases, CoverEveryOp) {
  std::set<std::string> covered;
  for (const OpCase& test : AllOpCases()) {
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
