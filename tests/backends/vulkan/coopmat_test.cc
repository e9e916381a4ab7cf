// Products by cooperative matrices: which shape of them is taken, which products get them, and,
// where a device has them, their results.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "backends/ref/ref_backend.h"
#include "backends/vulkan/cooperative_matrix.h"
#include "backends/vulkan/device_info.h"
#include "backends/vulkan/lowering.h"
#include "backends/vulkan/vulkan_backend.h"
#include "graph/text.h"
#include "passes/passes.h"
#include "tests/support/op_cases.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using vulkan::CooperativeMatrixProperties;
using vulkan::MatrixShape;

CooperativeMatrixProperties Offer(uint32_t m, uint32_t n, uint32_t k) {
  constexpr uint32_t kHalf = CooperativeMatrixProperties::kFloat16;
  constexpr uint32_t kSingle = CooperativeMatrixProperties::kFloat32;
  return {.m = m,
          .n = n,
          .k = k,
          .a_type = kHalf,
          .b_type = kHalf,
          .c_type = kSingle,
          .result_type = kSingle,
          .scope = 3};
}

std::tuple<uint32_t, uint32_t, uint32_t> Chosen(
    const std::vector<CooperativeMatrixProperties>& offered) {
  const MatrixShape shape = vulkan::ChooseMatrixShape(offered);
  return {shape.m, shape.n, shape.k};
}

TEST(MatrixShape, IsTheLargestThatDividesTheTile) {
  EXPECT_EQ(Chosen({Offer(16, 8, 8), Offer(16, 16, 16), Offer(8, 8, 8)}),
            std::make_tuple(16, 16, 16));
  EXPECT_EQ(Chosen({Offer(8, 8, 8), Offer(32, 32, 16), Offer(12, 16, 16)}),
            std::make_tuple(8, 8, 8));
  EXPECT_EQ(Chosen({Offer(8, 8, 64)}), std::make_tuple(0, 0, 0));
  EXPECT_FALSE(vulkan::ChooseMatrixShape({}).exists());
}

TEST(MatrixShape, HasTheTypesAndTheScopeThatTheShaderIsWrittenFor) {
  CooperativeMatrixProperties half_sums = Offer(16, 16, 16), workgroup = half_sums,
                              integers = half_sums;
  half_sums.c_type = half_sums.result_type = CooperativeMatrixProperties::kFloat16;
  workgroup.scope = 2;
  integers.a_type = 3;
  EXPECT_EQ(Chosen({half_sums, workgroup, integers}), std::make_tuple(0, 0, 0));
}

// What select_kernels gives the last node of a graph, for a device that is but its capabilities.
absl::StatusOr<std::string> KernelOf(const std::string& text, bool has_matrices) {
  std::vector<vulkan::VulkanKernel> all;
  vulkan::AddLinearKernels(&all);
  vulkan::AddMoeKernels(&all);
  KernelSet kernels;
  for (const auto& kernel : all) kernels.Add(kernel.record);
  proto::DeviceCaps caps;
  caps.set_backend("vulkan");
  if (has_matrices) caps.add_features(vulkan::kCooperativeMatrixFeature);
  absl::StatusOr<Graph> graph = Parse(text, "test");
  if (!graph.ok()) return graph.status();
  const absl::StatusOr<bool> done = SelectKernels(*graph, {.caps = &caps, .kernels = &kernels});
  if (!done.ok()) return done.status();
  return graph->nodes().back()->kernel();
}

std::string MatmulText(int tokens, const char* format, const char* kernel = "") {
  return absl::Substitute(
      "graph g\nsymbol tokens <= $0\ninput %x : f32[tokens,512]\nweight @w : $1[256,512]\n"
      "%y = matmul(%x, @w) : f32[tokens,256]$2\noutput %y\n",
      tokens, format, kernel);
}

TEST(CoopmatChoice, IsForManyRowsWhereTheDeviceHasMatrices) {
  EXPECT_EQ(*KernelOf(MatmulText(512, "q4_k"), true), "vulkan.matmul.coopmat");
  EXPECT_EQ(*KernelOf(MatmulText(16, "f16"), true), "vulkan.matmul.coopmat");
  EXPECT_EQ(*KernelOf(MatmulText(512, "q4_k"), false), "vulkan.matmul.tiles");
  EXPECT_EQ(*KernelOf(MatmulText(4, "q4_k"), true), "vulkan.matmul.vectors");
  // Decoded to f16 when loaded.
  EXPECT_EQ(*KernelOf(MatmulText(512, "iq2_xxs"), true), "vulkan.matmul.coopmat.f16");
  // Float16 would round it.
  EXPECT_EQ(*KernelOf(MatmulText(512, "f32"), true), "vulkan.matmul.tiles");
}

TEST(CoopmatChoice, IsThereForEveryProductByTiles) {
  const std::string experts =
      "graph g\nsymbol tokens <= 512\ninput %x : f32[tokens,64]\ninput %ids : i32[tokens,2]\n"
      "weight @g : q8_0[8,96,64]\nweight @u : q4_0[8,96,64]\n"
      "%rows, %row_of, %offsets = moe_gather(%x, %ids) {experts=8} : f32[tokens*2,64], "
      "i32[tokens,2], i32[9]\n";
  EXPECT_EQ(*KernelOf(absl::StrCat(experts,
                                   "%y = expert_glu(%rows, @g, @u, %offsets) {act=silu} : "
                                   "f32[tokens*2,96]\noutput %y\n"),
                      true),
            "vulkan.expert_glu.coopmat");
  EXPECT_EQ(*KernelOf(absl::StrCat(experts,
                                   "%y = expert_matmul(%rows, @g, %offsets) : f32[tokens*2,96]\n"
                                   "output %y\n"),
                      true),
            "vulkan.expert_matmul.coopmat");
  EXPECT_EQ(*KernelOf("graph g\nsymbol tokens <= 64\ninput %x : f32[tokens,64]\n"
                      "weight @g : q8_0[96,64]\nweight @u : bf16[96,64]\n"
                      "%y = glu(%x, @g, @u) {act=silu} : f32[tokens,96]\noutput %y\n",
                      true),
            "vulkan.glu.coopmat");
}

TEST(CoopmatChoice, AskedForWhereItCannotBeIsRefusedWithTheReason) {
  const std::string text = MatmulText(64, "q8_0", " kernel(\"vulkan.matmul.coopmat\")");
  EXPECT_EQ(*KernelOf(text, true), "vulkan.matmul.coopmat");
  EXPECT_THAT(std::string(KernelOf(text, false).status().message()),
              HasSubstr("the device has no cooperative matrices of float16"));
  EXPECT_THAT(
      std::string(KernelOf(MatmulText(64, "f32", " kernel(\"vulkan.matmul.coopmat\")"), true)
                      .status()
                      .message()),
      HasSubstr("@w is f32, which float16 would round"));
}

// --- on a device
// ----------------------------------------------------------------------------------

// Products of two numbers that were rounded to float16: each loses up to 2^-10 of its value where
// the device rounds towards zero, which Vulkan leaves open, evenly spread; both together, squared,
// (2/3 + 1/2) * 2^-20 = 1.1e-6 in the mean at worst. Sums of float32 add nothing to that. Errors of
// substance are above 1e-4.
constexpr double kHalfFactors = 1.2e-6;

bool HasMatrices(const Backend& backend) {
  const auto& features = backend.caps().features();
  return std::find(features.begin(), features.end(), vulkan::kCooperativeMatrixFeature) !=
         features.end();
}

// Under validation, if the layers are new enough to know cooperative matrices, otherwise without.
class Coopmat : public testing::Test {
 protected:
  void SetUp() override {
    if (state().backend == nullptr) Open();
    if (state().backend == nullptr) GTEST_SKIP() << state().why_not;
    state().messages.clear();
  }
  void TearDown() override {
    for (const std::string& message : state().messages) ADD_FAILURE() << message;
  }
  static void TearDownTestSuite() { state().backend.reset(); }
  static Backend& backend() { return *state().backend; }

  // Runs a graph whose products are all by cooperative matrices, at its bounds and below them.
  static void ExpectParity(const std::string& text) {
    absl::StatusOr<Graph> graph = Parse(text, "test");
    ASSERT_TRUE(graph.ok()) << graph.status() << "\n" << text;
    Graph compiled = graph->Clone();
    for (const auto& node : compiled.nodes()) {
      const std::string kernel = absl::StrCat("vulkan.", node->op().name, ".coopmat");
      if (backend().kernels()->Find(kernel) != nullptr) node->set_kernel(kernel);
    }
    const absl::Status status = CompileFor(backend(), &compiled);
    ASSERT_TRUE(status.ok()) << status;
    const auto ref = MakeRefBackend();
    const int64_t bound = graph->Bounds().Get("tokens");
    for (const int64_t tokens : {bound, bound / 2 + 1}) {
      SymbolValues sizes = graph->Bounds();
      sizes.Set("tokens", tokens);
      auto data = RandomData::Make(*graph, /*seed=*/1, {}, sizes);
      ASSERT_TRUE(data.ok()) << data.status();
      const auto expected = data->Run(*ref, *graph), got = data->Run(backend(), compiled);
      ASSERT_TRUE(expected.ok()) << expected.status();
      ASSERT_TRUE(got.ok()) << got.status();
      EXPECT_LT(Nmse(*expected, *got), kHalfFactors) << tokens << " tokens\n" << text;
    }
  }

 private:
  struct State {
    std::vector<std::string> messages;
    std::string why_not;
    std::unique_ptr<Backend> backend;
  };
  static State& state() {
    static State state;
    return state;
  }
  static void Open() {
    for (const bool validate : {true, false}) {
      auto backend =
          MakeVulkanBackend({.validate = validate, .on_message = [](const std::string& message) {
                               state().messages.push_back(message);
                             }});
      if (backend.ok() && HasMatrices(**backend)) {
        state().backend = *std::move(backend);
        return;
      }
      state().why_not = backend.ok()
                            ? absl::StrCat((*backend)->caps().name(), " has no such matrices")
                            : std::string(backend.status().message());
    }
  }
};

class CoopmatFormats : public Coopmat, public testing::WithParamInterface<const char*> {};

// More rows than a tile has, and outputs that end within one.
TEST_P(CoopmatFormats, Matmul) {
  ExpectParity(absl::Substitute(
      "graph g\nsymbol tokens <= 100\ninput %x : f32[tokens,512]\nweight @w : $0[200,512]\n"
      "weight @b : f32[200]\n%y = matmul(%x, @w, @b) : f32[tokens,200]\noutput %y\n",
      GetParam()));
}

INSTANTIATE_TEST_SUITE_P(All, CoopmatFormats,
                         testing::Values("f16", "bf16", "q8_0", "q4_0", "q5_1", "q2_k", "q3_k",
                                         "q4_k", "q6_k", "iq4_xs"),
                         [](const auto& test) { return std::string(test.param); });

// Rows of 20 elements end within a step of the sums.
TEST_F(Coopmat, RaggedRows) {
  ExpectParity(
      "graph g\nsymbol tokens <= 7\ninput %x : f32[tokens,20]\nweight @w : f16[3,20]\n"
      "%y = matmul(%x, @w) : f32[tokens,3]\noutput %y\n");
}

TEST_F(Coopmat, ThreeWeightsInOneDispatch) {
  ExpectParity(
      "graph g\nsymbol tokens <= 70\ninput %x : f32[tokens,256]\nweight @q : q4_k[256,256]\n"
      "weight @k : q6_k[64,256]\nweight @v : f16[64,256]\nweight @b : f32[64]\n"
      "%q, %k, %v = qkv_matmul(%x, @q, @k, @v, _, @b) {k_shape=[tokens,1,64], "
      "q_shape=[tokens,4,64], v_shape=[tokens,1,64]} : f32[tokens,4,64], f32[tokens,1,64], "
      "f32[tokens,1,64]\noutput %q\noutput %k\noutput %v\n");
}

TEST_F(Coopmat, Gated) {
  for (const char* act : {"silu", "gelu"}) {
    ExpectParity(absl::Substitute(
        "graph g\nsymbol tokens <= 40\ninput %x : f32[tokens,96]\nweight @g : q8_0[100,96]\n"
        "weight @u : q5_0[100,96]\nweight @b : f32[100]\n"
        "%y = glu(%x, @g, @u, @b) {act=$0} : f32[tokens,100]\noutput %y\n",
        act));
  }
}

// Experts that many, few and no rows are for.
TEST_F(Coopmat, Experts) {
  ExpectParity(
      "graph g\nsymbol tokens <= 90\ninput %x : f32[tokens,64]\ninput %ids : i32[tokens,2]\n"
      "weight @g : q8_0[8,96,64]\nweight @u : q4_0[8,96,64]\nweight @d : f16[8,72,96]\n"
      "%rows, %row_of, %offsets = moe_gather(%x, %ids) {experts=8} : f32[tokens*2,64], "
      "i32[tokens,2], i32[9]\n"
      "%h = expert_glu(%rows, @g, @u, %offsets) {act=silu} : f32[tokens*2,96]\n"
      "%y = expert_matmul(%h, @d, %offsets) : f32[tokens*2,72]\noutput %y\n");
}

// Activations beyond what a float16 can be.
TEST_F(Coopmat, LargeActivations) {
  ExpectParity(
      "graph g\nsymbol tokens <= 40\ninput %x : f32[tokens,64]\nweight @w : q8_0[64,64]\n"
      "%a = scale(%x) {factor=100000.0} : f32[tokens,64]\n"
      "%y = matmul(%a, @w) : f32[tokens,64]\noutput %y\n");
}

TEST(CoopmatSwitch, LeavesMatricesAlone) {
  const auto backend = MakeVulkanBackend({.cooperative_matrix = false});
  if (!backend.ok()) GTEST_SKIP() << backend.status();
  EXPECT_FALSE(HasMatrices(**backend));
}

}  // namespace
}  // namespace sluice
