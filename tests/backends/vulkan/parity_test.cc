// The Vulkan backend against the reference, case by case, under core and synchronisation
// validation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "backends/ref/ref_backend.h"
#include "backends/vulkan/formats.h"
#include "graph/ops/moe.h"
#include "graph/text.h"
#include "passes/passes.h"
#include "passes/pipeline.h"
#include "tests/backends/vulkan/vulkan_support.h"
#include "tests/support/op_cases.h"

namespace sluice {
namespace {

// float32 against float64 sums of up to 512 products: a random walk of roundings of 2^-24 each
// gives a relative error of about sqrt(512) * 2^-24 = 1.3e-6, squared 2e-12. Weights that were
// rounded to f16 when loaded are off by a 16-bit float's spacing, 2^-11 to 2^-10 of the value,
// evenly spread over half of it to both sides: at most 2^-20 / 12 = 8e-8 squared. Errors of
// substance (a wrong row, scale or sign) are above 1e-4. What cooperative matrices round, both
// factors, is counted in vulkan_coopmat_test.
double ToleranceFor(const Graph& graph, const Graph& compiled) {
  for (const auto& node : compiled.nodes()) {
    if (absl::StrContains(node->kernel(), ".coopmat")) return 1.2e-6;
  }
  const bool is_rounded =
      std::any_of(graph.weights().begin(), graph.weights().end(), [](const auto& weight) {
        const DType dtype = weight->type().dtype;
        return vulkan::StoredAs(dtype) != dtype;
      });
  return is_rounded ? 1e-7 : 1e-11;
}

class VulkanParity : public VulkanTest, public testing::WithParamInterface<OpCase> {
 protected:
  // Runs the step at its bounds and a smaller one: nothing beyond its sizes may be touched or
  // missed.
  void ExpectParity(const Graph& graph, const Graph& compiled) {
    ExpectSameValues(graph, compiled, /*seed=*/1, {});
    SymbolValues sizes = graph.Bounds();
    if (sizes.Get("tokens") < 2) return;
    sizes.Set("tokens", sizes.Get("tokens") / 2 + 1);
    ExpectSameValues(graph, compiled, /*seed=*/2, sizes);
  }

 private:
  void ExpectSameValues(const Graph& graph, const Graph& compiled, uint64_t seed,
                        const SymbolValues& sizes) {
    auto data = RandomData::Make(graph, seed, GetParam().ranges, sizes);
    ASSERT_TRUE(data.ok()) << data.status();
    const auto ref = MakeRefBackend();
    auto expected = data->Run(*ref, graph);
    auto got = data->Run(backend(), compiled);
    // Of a smaller step, an index may lie beyond the size that is and within the one compiled for.
    ASSERT_EQ(got.status().code(), expected.status().code()) << got.status();
    if (!expected.ok()) return;
    EXPECT_LT(Nmse(*expected, *got), ToleranceFor(graph, compiled)) << "seed " << seed;
  }
};

TEST_P(VulkanParity, AgreesWithReference) {
  absl::StatusOr<Graph> graph = Parse(GetParam().text, GetParam().name);
  ASSERT_TRUE(graph.ok()) << graph.status() << "\n" << GetParam().text;
  Graph compiled = graph->Clone();
  const absl::Status status = CompileFor(backend(), &compiled);
  ASSERT_TRUE(status.ok()) << status;
  ExpectParity(*graph, compiled);
}

class VulkanInPlaceParity : public VulkanParity {};

// The same where every result that may takes its operand's place.
TEST_P(VulkanInPlaceParity, AgreesWithReference) {
  absl::StatusOr<Graph> graph = Parse(GetParam().text, GetParam().name);
  ASSERT_TRUE(graph.ok()) << graph.status() << "\n" << GetParam().text;
  Graph compiled = graph->Clone();
  const auto copies = CopyReplaceableOperands(&compiled);
  ASSERT_TRUE(copies.ok()) << copies.status();
  const absl::Status status = CompileFor(backend(), &compiled);
  ASSERT_TRUE(status.ok()) << status;
  for (const auto& [copy, result] : *copies) {
    ASSERT_EQ(copy->mem()->offset, result->mem()->offset) << Print(compiled);
  }
  ExpectParity(*graph, compiled);
}

// Everything that reads weights, with rows that are not whole quads of elements: some shorter than
// one, some of several groups of 16, and in f16 and bf16 such that begin at odd 16-bit words.
OpCase OddRows(absl::string_view format, int columns, int tokens) {
  return {absl::Substitute("odd_rows/$0/$1/$2", format, columns, tokens),
          absl::Substitute(
              "graph g\nsymbol tokens <= $2\ninput %ids : i32[tokens]\ninput %id : i32[tokens,2]\n"
              "input %p : f32[tokens,2]\nweight @t : $0[40,$1]\nweight @w : $0[33,$1]\n"
              "weight @b : f32[33]\nweight @gate : $0[20,$1]\nweight @up : bf16[20,$1]\n"
              "weight @gates : $0[5,20,$1]\nweight @ups : bf16[5,20,$1]\n"
              "weight @downs : $0[5,12,$1]\n%x = embedding(@t, %ids) : f32[tokens,$1]\n"
              "%y = matmul(%x, @w, @b) : f32[tokens,33]\n"
              "%g = glu(%x, @gate, @up) {act=silu} : f32[tokens,20]\n"
              "%q, %k, %v = qkv_matmul(%x, @w, @gate, @up) {k_shape=[tokens,1,20], "
              "q_shape=[tokens,3,11], v_shape=[tokens,1,20]} : f32[tokens,3,11], "
              "f32[tokens,1,20], f32[tokens,1,20]\n"
              "%rows, %row_of, %offsets = moe_gather(%x, %id) {experts=5} : f32[tokens*2,$1], "
              "i32[tokens,2], i32[6]\n"
              "%h = expert_glu(%rows, @gates, @ups, %offsets) {act=silu} : f32[tokens*2,20]\n"
              "%d = expert_matmul(%rows, @downs, %offsets) : f32[tokens*2,12]\n"
              "%i = indexed_expert_glu(%x, @gates, @ups, %id) {act=silu} : f32[tokens*2,20]\n"
              "%j = indexed_expert_matmul(%x, @downs, %id) : f32[tokens*2,12]\n"
              "%s = indexed_expert_sum(%x, @downs, %id, %p) : f32[tokens,12]\n"
              "%c, %ci = router_topk(%x, @w) {k=4} : f32[tokens,4], i32[tokens,4]\n"
              "output %x\noutput %y\noutput %g\noutput %q\noutput %k\noutput %v\noutput %h\n"
              "output %d\noutput %i\noutput %j\noutput %s\noutput %c\noutput %ci\n",
              format, columns, tokens),
          {{"ids", {0, 39}}, {"id", {0, 4}}}};
}

std::vector<OpCase> Cases() {
  std::vector<OpCase> cases = AllOpCases();
  for (OpCase& test : OptionalOpCases()) cases.push_back(std::move(test));
  for (const char* format : {"f32", "f16", "bf16"}) {
    for (const int columns : {3, 90, 91}) {
      for (const int tokens : {1, 3, 40}) cases.push_back(OddRows(format, columns, tokens));
    }
  }
  return cases;
}

std::string CaseName(const testing::TestParamInfo<OpCase>& test) { return TestName(test.param); }
INSTANTIATE_TEST_SUITE_P(All, VulkanParity, testing::ValuesIn(Cases()), CaseName);
INSTANTIATE_TEST_SUITE_P(All, VulkanInPlaceParity,
                         testing::ValuesIn(CasesWithReplaceableOperands(Cases())), CaseName);

class VulkanErrors : public VulkanTest, public testing::WithParamInterface<BadIndex> {};

// What only data can show is an error that names the node, and not a wild read.
TEST_P(VulkanErrors, IndexOutOfRange) {
  const std::vector<OpCase> cases = Cases();
  const auto test = std::find_if(cases.begin(), cases.end(),
                                 [](const OpCase& c) { return c.name == GetParam().op_case; });
  ASSERT_NE(test, cases.end());
  absl::StatusOr<Graph> graph = Parse(test->text, test->name);
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_TRUE(CompileFor(backend(), &*graph).ok());
  for (const int64_t bad : {int64_t{-1}, GetParam().limit}) {
    ValueRanges ranges = test->ranges;
    ranges[GetParam().input] = {bad, bad};
    auto data = RandomData::Make(*graph, 1, ranges);
    ASSERT_TRUE(data.ok()) << data.status();
    const absl::Status status = data->Run(backend(), *graph).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange) << bad;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(absl::StrCat("index ", bad)));
    EXPECT_THAT(std::string(status.message()), testing::StartsWith("%"));
  }
}

std::vector<BadIndex> BadIndices() {
  std::vector<BadIndex> indices = AllBadIndices();
  indices.push_back({"expert_sum/f32/2", "id", 8});
  return indices;
}

INSTANTIATE_TEST_SUITE_P(All, VulkanErrors, testing::ValuesIn(BadIndices()),
                         [](const auto& test) { return TestName(test.param); });

class VulkanRouter : public VulkanTest {};

TEST_F(VulkanRouter, RefusesLogitsThatAreNoNumbers) {
  absl::StatusOr<Graph> graph = Parse(
      "graph g\ninput %x : f32[2,8]\n%a = scale(%x) {factor=1e+38} : f32[2,8]\n"
      "%b = scale(%a) {factor=1e+38} : f32[2,8]\n"
      "%p, %id = topk_softmax(%b) {k=2} : f32[2,2], i32[2,2]\noutput %p\n",
      "test");
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_TRUE(CompileFor(backend(), &*graph).ok());
  auto data = RandomData::Make(*graph, /*seed=*/1);
  ASSERT_TRUE(data.ok()) << data.status();
  const absl::Status status = data->Run(backend(), *graph).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::StartsWith("%p (topk_softmax): element"));
}

// The choice of experts and their weights by an executable of one input, [tokens,64].
std::vector<std::vector<float>> RunStep(Executable& executable, int64_t tokens,
                                        std::vector<float>* x) {
  TensorView input{.dtype = DType::kF32, .dims = {tokens, 64}};
  input.data = reinterpret_cast<std::byte*>(x->data());
  RunArgs args{.inputs = {&input, 1}};
  args.symbols.Set("tokens", tokens);
  const absl::Status status = executable.Run(args);
  EXPECT_TRUE(status.ok()) << status;
  return {ValuesOf(*executable.output(0)), ValuesOf(*executable.output(1))};
}

// Workgroups count who is the last of them, and steps of any size leave the count as they found it.
TEST_F(VulkanRouter, CountsAnewInEveryStep) {
  absl::StatusOr<Graph> graph = Parse(
      "graph g\nsymbol tokens <= 6\ninput %x : f32[tokens,64]\nweight @w : f32[200,64]\n"
      "%p, %id = router_topk(%x, @w) {k=4} : f32[tokens,4], i32[tokens,4]\n"
      "output %p\noutput %id\n",
      "test");
  ASSERT_TRUE(graph.ok()) << graph.status();
  const auto data = RandomData::Make(*graph, /*seed=*/1);
  ASSERT_TRUE(data.ok()) << data.status();
  const auto ref = MakeRefBackend();
  const auto expected = ref->Compile(graph->Clone(), data->weights());
  ASSERT_TRUE(expected.ok()) << expected.status();
  ASSERT_TRUE(CompileFor(backend(), &*graph).ok());
  const auto got = backend().Compile(graph->Clone(), data->weights());
  ASSERT_TRUE(got.ok()) << got.status();
  std::vector<float> x(6 * 64);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i * i));
  for (const int64_t tokens : {6, 1, 5, 6}) {
    std::rotate(x.begin(), x.begin() + 7, x.end());
    EXPECT_LT(Nmse(RunStep(**expected, tokens, &x), RunStep(**got, tokens, &x)), 1e-11) << tokens;
  }
}

// Runs a graph on `backend` and on the reference, after all passes.
double ErrorOf(const std::string& text, Backend& backend) {
  absl::StatusOr<Graph> graph = Parse(text, "test");
  EXPECT_TRUE(graph.ok()) << graph.status();
  auto data = RandomData::Make(*graph, /*seed=*/1);
  EXPECT_TRUE(data.ok()) << data.status();
  const auto ref = MakeRefBackend();
  auto expected = data->Run(*ref, *graph);
  std::vector<PassReport> report;
  const absl::Status status = Optimize(backend, {}, &*graph, &report);
  EXPECT_TRUE(status.ok()) << status;
  auto got = data->Run(backend, *graph);
  EXPECT_TRUE(got.ok()) << got.status();
  return expected.ok() && got.ok() ? Nmse(*expected, *got) : 1;
}

// Weights that no binding spans are read in parts: here, 64 of 96 rows, and 2 tables of 64 and 36.
TEST(VulkanParts, OfLargeWeightsGiveTheWhole) {
  auto backend = MakeVulkanBackend({.max_binding_bytes = 140000});
  if (!backend.ok()) GTEST_SKIP() << backend.status();
  for (const int tokens : {1, 4, 33}) {
    const std::string text = absl::StrCat(
        "graph g\nsymbol tokens <= ", tokens,
        "\ninput %ids : i32[tokens]\nweight @t : f32[100,512]\nweight @w : f32[96,512]\n"
        "weight @b : f32[96]\n%x = embedding(@t, %ids) : f32[tokens,512]\n"
        "%y = matmul(%x, @w, @b) : f32[tokens,96]\noutput %y\n");
    EXPECT_LT(ErrorOf(text, **backend), 1e-11) << tokens << " tokens";
  }
  // Experts: of gate 256 of 1536 rows, and up with it; of down 512 of 2400, three parts at once.
  for (const int tokens : {1, 3}) {
    const std::string text = absl::StrCat(
        "graph g\nsymbol tokens <= ", tokens,
        "\ninput %x : f32[tokens,128]\ninput %id : i32[tokens,2]\ninput %p : f32[tokens,2]\n"
        "input %r : f32[tokens,100]\nweight @gate : f32[24,64,128]\nweight @up : q8_0[24,64,128]\n"
        "weight @down : f32[24,100,64]\nweight @b : f32[24,100]\n"
        "%h = indexed_expert_glu(%x, @gate, @up, %id) {act=silu} : f32[tokens*2,64]\n"
        "%y = indexed_expert_sum(%h, @down, %id, %p, %r, @b) : f32[tokens,100]\noutput %y\n");
    EXPECT_LT(ErrorOf(text, **backend), 1e-11) << tokens << " tokens";
  }
  // What cannot be parted is an error that names the node and both sizes.
  absl::StatusOr<Graph> graph =
      Parse("graph g\ninput %x : f32[200,256]\n%y = silu(%x) : f32[200,256]\noutput %y\n", "test");
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_TRUE(CompileFor(**backend, &*graph).ok());
  const std::string message((*backend)->Compile(graph->Clone(), {}).status().message());
  EXPECT_THAT(message, testing::HasSubstr("%y (silu): it needs 204800 bytes in one piece"));
  EXPECT_THAT(message, testing::HasSubstr("can bind 140000"));
}

class VulkanTiles : public VulkanTest {
 protected:
  // With these kernels for both products.
  static absl::StatusOr<Graph> Compiled(const char* glu, const char* matmul) {
    absl::StatusOr<Graph> graph = Parse(
        absl::Substitute(
            "graph g\nsymbol tokens <= 20\ninput %rows : f32[tokens*2,32]\n"
            "input %offsets : i32[4]\nweight @g : f32[3,16,32]\nweight @u : f32[3,16,32]\n"
            "weight @d : f32[3,8,16]\n"
            "%h = expert_glu(%rows, @g, @u, %offsets) {act=silu} : f32[tokens*2,16] kernel($0)\n"
            "%y = expert_matmul(%h, @d, %offsets) : f32[tokens*2,8] kernel($1)\noutput %y\n",
            Quote(absl::StrCat("vulkan.expert_glu.", glu)),
            Quote(absl::StrCat("vulkan.expert_matmul.", matmul))),
        "test");
    if (graph.ok()) {
      const absl::Status status = CompileFor(backend(), &*graph);
      if (!status.ok()) return status;
    }
    return graph;
  }
  static size_t TablesOf(const Graph& graph) {
    return static_cast<size_t>(
        std::count_if(graph.nodes().begin(), graph.nodes().end(),
                      [](const auto& node) { return node->op().name == "expert_tiles"; }));
  }
};

// What passes from kernel to kernel is in the graph.
TEST_F(VulkanTiles, AreAValueThatProductsOfOneFormShare) {
  absl::StatusOr<Graph> graph = Compiled("tiles", "tiles");
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(TablesOf(*graph), 1);
  const Node *glu = graph->Find("%h")->producer(), *matmul = graph->Find("%y")->producer();
  EXPECT_EQ(As<ExpertGluCall>(*glu).tiles, graph->Find("%offsets.tiles"));
  EXPECT_EQ(As<ExpertMatmulCall>(*matmul).tiles, graph->Find("%offsets.tiles"));
  EXPECT_THAT(Print(*As<ExpertGluCall>(*glu).tiles->producer()),
              testing::AllOf(testing::HasSubstr("{most=32, rows=[tokens*2]} : i32[tokens*2,3]"),
                             testing::HasSubstr("kernel(\"vulkan.expert_tiles\")"),
                             testing::HasSubstr("by(derive_operands)")));
  const absl::StatusOr<bool> again = DeriveOperands(*graph, ContextOf(backend()));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(*again);

  graph->SetOperand(graph->Find("%y")->producer(), 4, nullptr);
  EXPECT_THAT(std::string(backend().Compile(*std::move(graph), {}).status().message()),
              testing::AllOf(testing::HasSubstr("rule C7 (derived operands are there): %y = "),
                             testing::HasSubstr("needs the operand tiles from "
                                                "expert_tiles(%offsets) {most=32, ")));
}

TEST_F(VulkanTiles, AreOneTableForEachForm) {
  absl::StatusOr<Graph> graph = Compiled("vectors", "tiles");
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(TablesOf(*graph), 2);
  auto data = RandomData::Make(*graph, /*seed=*/1);
  ASSERT_TRUE(data.ok()) << data.status();
  const auto ref = MakeRefBackend();
  const auto expected = data->Run(*ref, *graph), got = data->Run(backend(), *graph);
  ASSERT_TRUE(expected.ok() && got.ok()) << expected.status() << got.status();
  EXPECT_LT(Nmse(*expected, *got), 1e-11);
}

TEST_F(VulkanTiles, RefuseOffsetsThatAreNone) {
  absl::StatusOr<Graph> graph = Compiled("vectors", "tiles");
  ASSERT_TRUE(graph.ok()) << graph.status();
  for (const ValueRange wrong :
       {ValueRange{0, 0}, ValueRange{7, 7}, ValueRange{-1, -1}, ValueRange{1 << 30, 1 << 30}}) {
    auto data = RandomData::Make(*graph, /*seed=*/1, {{"offsets", wrong}});
    ASSERT_TRUE(data.ok()) << data.status();
    const absl::Status status = data->Run(backend(), *graph).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange) << status;
    EXPECT_THAT(std::string(status.message()), testing::StartsWith("%offsets.tiles"));
  }
}

class VulkanCompile : public VulkanTest {};

TEST_F(VulkanCompile, ConstantsAreComputedOnceAndStay) {
  EXPECT_LT(ErrorOf("graph g\nsymbol tokens <= 3\ninput %x : f32[tokens,64]\nweight @w : f32[64]\n"
                    "%c = scale(@w) {factor=3.0} : f32[64]\n%d = silu(%c) : f32[64]\n"
                    "%y = mul(%x, %d) : f32[tokens,64]\noutput %y\n",
                    backend()),
            1e-11);
}

TEST_F(VulkanCompile, ANodeWithoutAKernelIsNamedWithTheReason) {
  absl::StatusOr<Graph> graph = Parse(
      "graph g\nsymbol tokens <= 2\ninput %x : f32[tokens,2000]\n"
      "%y, %id = topk_softmax(%x) {k=2} : f32[tokens,2], i32[tokens,2]\noutput %y\n",
      "test");
  ASSERT_TRUE(graph.ok()) << graph.status();
  const std::string message(CompileFor(backend(), &*graph).message());
  EXPECT_THAT(message, testing::HasSubstr("no vulkan kernel for %y, %id = topk_softmax"));
  EXPECT_THAT(message, testing::HasSubstr("2000 experts, expected at most 1024"));
}

}  // namespace
}  // namespace sluice
