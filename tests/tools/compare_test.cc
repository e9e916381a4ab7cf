// The search for the first node where two runs part: tools/debug/compare.h and verify.h.
#include "tools/debug/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "backends/cpu/cpu_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/text.h"
#include "models/model.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/paths.h"
#include "tools/debug/random_data.h"
#include "tools/debug/verify.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Graph ParsedGraph(absl::string_view text) {
  absl::StatusOr<Graph> graph = Parse(text);
  EXPECT_TRUE(graph.ok()) << graph.status();
  return *std::move(graph);
}

// Runs the graph on the reference, with random data.
RunStep OnReference(const Graph& graph) {
  return [&graph](RunObserver* observer) -> absl::Status {
    const auto data = RandomData::Make(graph, /*seed=*/1);
    if (!data.ok()) return data.status();
    return data->Run(*MakeRefBackend(), graph, observer).status();
  };
}

Comparison CompareGraphs(const Graph& expected, const Graph& got, double tolerance) {
  const auto recording = Recording::Of(OnReference(expected));
  EXPECT_TRUE(recording.ok()) << recording.status();
  auto comparison = Compare(*recording, OnReference(got), {.tolerance = tolerance});
  EXPECT_TRUE(comparison.ok()) << comparison.status();
  return *std::move(comparison);
}

constexpr char kChain[] =
    "graph chain\nsymbol tokens <= 3\ninput %x : f32[tokens,8]\n"
    "%a = silu(%x) : f32[tokens,8]\n"
    "%b = scale(%a) {factor=2.0} : f32[tokens,8]\n"
    "%c = softmax(%b) : f32[tokens,8]\n"
    "output %c\n";

TEST(Compare, EqualGraphsAgreeInEveryValue) {
  const Graph graph = ParsedGraph(kChain);
  const Comparison comparison = CompareGraphs(graph, graph, /*tolerance=*/0);
  EXPECT_FALSE(comparison.fault.has_value());
  EXPECT_EQ(comparison.compared, 3);
  EXPECT_EQ(comparison.only_expected, 0);
  EXPECT_EQ(comparison.only_got, 0);
}

TEST(Compare, TheFirstNodeThatDiffersIsTheFault) {
  const Graph expected = ParsedGraph(kChain);
  const Graph got = ParsedGraph(
      "graph chain\nsymbol tokens <= 3\ninput %x : f32[tokens,8]\n"
      "%a = silu(%x) : f32[tokens,8]\n"
      "%new = silu(%a) : f32[tokens,8]\n"
      "%b = scale(%a) {factor=2.5} : f32[tokens,8]\n"
      "%c = softmax(%b) : f32[tokens,8]\n"
      "output %c\noutput %new\n");
  const Comparison comparison = CompareGraphs(expected, got, /*tolerance=*/1e-6);
  EXPECT_EQ(comparison.compared, 3);
  EXPECT_EQ(comparison.only_got, 1);
  ASSERT_TRUE(comparison.fault.has_value());
  const Fault& fault = *comparison.fault;
  EXPECT_EQ(fault.node, "%b = scale(%a) {factor=2.5} : f32[tokens,8]");
  EXPECT_EQ(fault.name, "%b");
  ASSERT_EQ(fault.operands.size(), 1);
  EXPECT_EQ(fault.operands.front().name, "%a");
  EXPECT_EQ(fault.operands.front().nmse, 0.0);
  // 2.5 for 2: the error is a quarter of the value, its square a sixteenth.
  ASSERT_FALSE(comparison.worst.empty());
  EXPECT_EQ(comparison.worst[0].name, "%b");
  EXPECT_NEAR(comparison.worst[0].nmse, 1.0 / 16, 1e-6);
  ASSERT_TRUE(fault.expected.has_value());
  EXPECT_NEAR(fault.got.rms / fault.expected->rms, 1.25, 1e-6);
}

TEST(Compare, ValuesOfOneSideOnlyAreCounted) {
  const Graph unfused = ParsedGraph(
      "graph g\ninput %x : f32[2,8]\nweight @g : f32[4,8]\nweight @u : f32[4,8]\n"
      "%p = matmul(%x, @g) : f32[2,4]\n%u = matmul(%x, @u) : f32[2,4]\n"
      "%s = silu(%p) : f32[2,4]\n%h = mul(%s, %u) : f32[2,4]\noutput %h\n");
  const Graph fused = ParsedGraph(
      "graph g\ninput %x : f32[2,8]\nweight @g : f32[4,8]\nweight @u : f32[4,8]\n"
      "%h = glu(%x, @g, @u) {act=silu} : f32[2,4]\noutput %h\n");
  // The roundings of three values to float32, which the fused op may keep.
  const Comparison comparison = CompareGraphs(unfused, fused, /*tolerance=*/1e-12);
  EXPECT_FALSE(comparison.fault.has_value());
  EXPECT_EQ(comparison.compared, 1);
  EXPECT_EQ(comparison.only_expected, 3);
  EXPECT_EQ(comparison.only_got, 0);
}

TEST(Compare, AnotherShapeIsAFault) {
  const Graph wide =
      ParsedGraph("graph g\ninput %x : f32[2,8]\n%y = silu(%x) : f32[2,8]\noutput %y\n");
  const Graph narrow =
      ParsedGraph("graph g\ninput %x : f32[2,4]\n%y = silu(%x) : f32[2,4]\noutput %y\n");
  const Comparison comparison = CompareGraphs(wide, narrow, /*tolerance=*/1);
  ASSERT_TRUE(comparison.fault.has_value());
  EXPECT_THAT(comparison.fault->reason, HasSubstr("another shape"));
}

constexpr char kInfinite[] =
    "graph g\ninput %x : f32[2,8]\n"
    "%a = silu(%x) : f32[2,8]\n"
    "%b = scale(%a) {factor=1e+300} : f32[2,8]\n"
    "%c = scale(%b) {factor=2.0} : f32[2,8]\n"
    "output %c\n";

TEST(FindNonFinite, TheNodeThatMadeItIsTheFaultNotItsUsers) {
  const Graph graph = ParsedGraph(kInfinite);
  const auto comparison = FindNonFinite(OnReference(graph));
  ASSERT_TRUE(comparison.ok()) << comparison.status();
  ASSERT_TRUE(comparison->fault.has_value());
  EXPECT_EQ(comparison->fault->name, "%b");
  EXPECT_EQ(comparison->fault->got.infinities, 16);
  EXPECT_FALSE(comparison->fault->expected.has_value());
}

TEST(FindNonFinite, AgreementOnItIsAFaultToo) {
  const Graph graph = ParsedGraph(kInfinite);
  const Comparison comparison = CompareGraphs(graph, graph, /*tolerance=*/1);
  ASSERT_TRUE(comparison.fault.has_value());
  EXPECT_EQ(comparison.fault->name, "%b");
}

TEST(FindNonFinite, FiniteGraphsHaveNoFault) {
  const Graph graph = ParsedGraph(kChain);
  const auto comparison = FindNonFinite(OnReference(graph));
  ASSERT_TRUE(comparison.ok()) << comparison.status();
  EXPECT_FALSE(comparison->fault.has_value());
  EXPECT_EQ(comparison->only_got, 3);
}

// --- Models ---------------------------------------------------------------------------------

class ModelComparison {
 public:
  explicit ModelComparison(const std::string& path, DType cache = DType::kF16)
      : model_(*(path.empty() ? Model::LoadEmbedded() : Model::Load(path))) {
    // One sequence of nine tokens that are spread over the vocabulary, but for the first one: row 0
    // of the embedding has the faulty block.
    const auto vocabulary = static_cast<int32_t>(model_->config().vocabulary);
    for (int32_t i = 1; i <= 9; ++i) tokens_.push_back(i * (vocabulary - 1) / 9);
    auto graph = model_->BuildGraph(
        {.max_tokens = 9, .context = 9, .block_size = 4, .k_type = cache, .v_type = cache});
    EXPECT_TRUE(graph.ok()) << graph.status();
    graph_ = *std::move(graph);
  }

  const Graph& graph() const { return graph_; }
  DecoderSetup setup(int64_t prepack_bytes = 0) const {
    return {graph_, model_->weights(), tokens_, prepack_bytes};
  }

 private:
  std::unique_ptr<Model> model_;
  std::vector<int32_t> tokens_;
  Graph graph_;
};

std::vector<std::string> ModelPaths() {
  std::vector<std::string> paths = {""};  // the embedded one
  for (const auto& entry : std::filesystem::directory_iterator(TestDataDir() + "/models")) {
    const std::string path = entry.path().string();
    if (entry.path().extension() != ".gguf") continue;
    if (Model::Load(path).status().code() == absl::StatusCode::kUnimplemented) continue;
    paths.push_back(path);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

TEST(CompareBackends, CpuAgreesWithTheReferenceOnEveryModel) {
  const auto ref = MakeRefBackend(), cpu = MakeCpuBackend({.threads = 1});
  for (const std::string& path : ModelPaths()) {
    for (const DType cache : {DType::kF16, DType::kF32}) {
      SCOPED_TRACE(path);
      const ModelComparison model(path, cache);
      const auto steps = CompareBackends(model.setup(), ref.get(), *cpu,
                                         {.tolerance = DefaultTolerance(model.graph())});
      ASSERT_TRUE(steps.ok()) << steps.status();
      ASSERT_EQ(steps->size(), 2);  // the prompt and the next token
      EXPECT_EQ(FirstFault(*steps), nullptr) << FirstFault(*steps)->comparison.fault->reason;
      EXPECT_GT((*steps)[0].comparison.compared, 10);
      EXPECT_GT((*steps)[1].comparison.compared, 10);
    }
  }
}

TEST(ComparePasses, NoPassChangesTheNumbersOfAnyModel) {
  const auto cpu = MakeCpuBackend({.threads = 1});
  for (const std::string& path : ModelPaths()) {
    SCOPED_TRACE(path);
    const ModelComparison model(path);
    const auto steps =
        ComparePasses(model.setup(), *cpu, {.tolerance = DefaultTolerance(model.graph())});
    ASSERT_TRUE(steps.ok()) << steps.status();
    EXPECT_EQ(FirstFault(*steps), nullptr) << FirstFault(*steps)->comparison.fault->reason;
    ASSERT_GE(steps->size(), 2);
    EXPECT_THAT((*steps)[0].step, StartsWith("after "));
  }
}

TEST(CompareBackends, PackedWeightsAgreeWithAReferenceThatRoundsActivations) {
  constexpr int64_t kAll = int64_t{1} << 40;
  const auto cpu = MakeCpuBackend({.threads = 1});
  const auto exact = MakeRefBackend(), rounding = MakeRefBackend({.round_activations = true});
  for (const std::string& path : ModelPaths()) {
    SCOPED_TRACE(path);
    const ModelComparison model(path);
    const auto steps =
        CompareBackends(model.setup(kAll), rounding.get(), *cpu, {.tolerance = kRoundedTo8Bits});
    ASSERT_TRUE(steps.ok()) << steps.status();
    ASSERT_EQ(steps->size(), 2);
    EXPECT_EQ(FirstFault(*steps), nullptr) << FirstFault(*steps)->comparison.fault->reason;
  }
  const ModelComparison embedded("");
  const auto steps = CompareBackends(embedded.setup(kAll), exact.get(), *cpu,
                                     {.tolerance = DefaultTolerance(embedded.graph())});
  ASSERT_TRUE(steps.ok()) << steps.status();
  EXPECT_NE(FirstFault(*steps), nullptr) << "nothing was packed";
}

TEST(CompareBackends, AFlippedScaleIsFoundWhereItIsFirstRead) {
  const ModelComparison model(TestDataDir() + "/models/llama-moe.Q8_0.gguf");
  const auto ref = MakeRefBackend();
  const auto faulty = MakeFaultyBackend(MakeCpuBackend({.threads = 1}), DType::kQ8_0);
  const double tolerance = DefaultTolerance(model.graph());
  const auto steps = CompareBackends(model.setup(), ref.get(), *faulty, {.tolerance = tolerance});
  ASSERT_TRUE(steps.ok()) << steps.status();
  ASSERT_EQ(steps->size(), 1);  // no need of another step
  const StepComparison* wrong = FirstFault(*steps);
  ASSERT_NE(wrong, nullptr);
  const Fault& fault = *wrong->comparison.fault;
  // The projections are the first to read a weight of this format; fused or not.
  EXPECT_THAT(fault.op, HasSubstr("matmul"));
  EXPECT_THAT(fault.name, StartsWith("%l0.q"));
  EXPECT_THAT(fault.node, HasSubstr("@blk.0.attn_q"));
  ASSERT_FALSE(fault.operands.empty());
  ASSERT_TRUE(fault.operands.front().nmse.has_value());
  EXPECT_LT(*fault.operands.front().nmse, tolerance);
  // The graph of that step, for reduction.
  EXPECT_EQ(wrong->graph.Bounds().Get("tokens"), 8);
  EXPECT_EQ(wrong->graph.Bounds().Get("seqs"), 1);
  EXPECT_EQ(wrong->graph.nodes().size(), model.graph().nodes().size());
}

}  // namespace
}  // namespace sluice
