// Both forms of attention on the device against the reference: tiles of tokens, and keys divided
// over workgroups; what chooses between them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "backends/ref/ref_backend.h"
#include "graph/text.h"
#include "tests/backends/vulkan/vulkan_support.h"
#include "tests/support/op_cases.h"

namespace sluice {
namespace {

constexpr char kRows[] = "vulkan.attention.rows", kSplit[] = "vulkan.attention.split";

struct AttentionCase {
  const char* name;
  int heads, kv_heads, width, v_width;
  const char* k_cache;
  const char* v_cache;
  const char* attrs;
};
constexpr AttentionCase kCases[] = {
    {"groups_of_4", 8, 2, 64, 64, "f16", "f16", "scale=0.125"},
    {"no_groups", 2, 2, 128, 128, "bf16", "f32", "scale=0.09"},
    {"groups_of_7", 7, 1, 80, 48, "f32", "f16", "scale=0.1"},
    // More heads than a tile has rows, in both forms.
    {"group_of_40", 40, 1, 32, 32, "q8_0", "f16", "scale=0.2"},
    {"wide", 4, 2, 256, 512, "f16", "q8_0", "scale=0.06"},
    {"widest", 2, 1, 512, 4, "f16", "f32", "scale=0.04"},
    {"window", 8, 2, 64, 64, "f16", "f16", "scale=0.125, window=150"},
    {"not_causal", 8, 2, 64, 64, "f32", "f32", "causal=false, scale=0.125"},
};

// Three sequences, their tokens in any order, over 640 keys. Two nodes, so that the second one
// finds what the first one leaves behind.
std::string TextOf(const AttentionCase& test, int tokens) {
  const std::string sources = absl::Substitute(
      "graph g\nsymbol tokens <= $0\ninput %q : f32[tokens,$1,$3]\n"
      "input %pos : i32[tokens]\ninput %seq : i32[tokens]\n"
      "input %tables : i32[3,40]\ninput %lens : i32[3]\n"
      "state %kc : state<$5[50,$2,16,$3]>\nstate %vc : state<$6[50,$2,16,$4]>\n",
      tokens, test.heads, test.kv_heads, test.width, test.v_width, test.k_cache, test.v_cache);
  std::string nodes;
  for (const char* name : {"y", "z"}) {
    nodes += absl::Substitute(
        "%$0 = attention(%q, %kc, %vc, %pos, %seq, %tables, %lens) {$1} : f32[tokens,$2,$3]\n",
        name, test.attrs, test.heads, test.v_width);
  }
  return absl::StrCat(sources, nodes, "output %y\noutput %z\n");
}

const ValueRanges kRanges = {
    {"pos", {0, 639}}, {"seq", {0, 2}}, {"tables", {0, 49}}, {"lens", {0, 640}}};

absl::StatusOr<Graph> CompiledWith(const char* kernel, const Graph& graph, const Backend& backend) {
  Graph compiled = graph.Clone();
  for (const auto& node : compiled.nodes()) {
    if (node->op().name == "attention") node->set_kernel(kernel);
  }
  const absl::Status status = CompileFor(backend, &compiled);
  if (!status.ok()) return status;
  return compiled;
}

class VulkanAttention : public VulkanTest,
                        public testing::WithParamInterface<std::tuple<AttentionCase, const char*>> {
};

TEST_P(VulkanAttention, AgreesWithReference) {
  const auto& [test, kernel] = GetParam();
  const auto ref = MakeRefBackend();
  for (const int tokens : {1, 5, 37}) {
    absl::StatusOr<Graph> graph = Parse(TextOf(test, tokens), test.name);
    ASSERT_TRUE(graph.ok()) << graph.status();
    const absl::StatusOr<Graph> compiled = CompiledWith(kernel, *graph, backend());
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    auto data = RandomData::Make(*graph, /*seed=*/1, kRanges);
    ASSERT_TRUE(data.ok()) << data.status();
    auto expected = data->Run(*ref, *graph);
    auto got = data->Run(backend(), *compiled);
    ASSERT_TRUE(expected.ok()) << expected.status();
    ASSERT_TRUE(got.ok()) << got.status();
    // Sums in float32 of up to 640 products: as in vulkan_parity_test.
    EXPECT_LT(Nmse(*expected, *got), 1e-11) << tokens << " tokens";
  }
}

std::string CaseName(const testing::TestParamInfo<VulkanAttention::ParamType>& info) {
  const std::string kernel = std::get<1>(info.param);
  return absl::StrCat(std::get<0>(info.param).name, "_", kernel.substr(kernel.rfind('.') + 1));
}
INSTANTIATE_TEST_SUITE_P(All, VulkanAttention,
                         testing::Combine(testing::ValuesIn(kCases),
                                          testing::Values(kRows, kSplit)),
                         CaseName);

class VulkanAttentionForms : public VulkanTest, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, VulkanAttentionForms, testing::Values(kRows, kSplit));

// Blocks that a window leaves behind are given to others: their ids say nothing any more.
TEST_P(VulkanAttentionForms, OnlyBlocksThatAreSeenMustExist) {
  absl::StatusOr<Graph> graph = Parse(TextOf(kCases[6], 5), "window");
  ASSERT_TRUE(graph.ok()) << graph.status();
  const absl::StatusOr<Graph> compiled = CompiledWith(GetParam(), *graph, backend());
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  const auto ref = MakeRefBackend();
  // All tokens see the same 150 keys, in blocks that exist or, the second time, do not.
  ValueRanges ranges = kRanges;
  ranges["pos"] = ranges["lens"] = {639, 639};
  for (const ValueRange ids : {ValueRange{0, 49}, ValueRange{50, 60}}) {
    ranges["tables"] = ids;
    auto data = RandomData::Make(*graph, /*seed=*/1, ranges);
    ASSERT_TRUE(data.ok()) << data.status();
    EXPECT_EQ(data->Run(backend(), *compiled).status().code(),
              data->Run(*ref, *graph).status().code());
  }
}

class VulkanAttentionChoice : public VulkanTest {};

// One token leaves a device idle unless its keys are divided; a long prompt is best in tiles.
TEST_F(VulkanAttentionChoice, FollowsTheNumberOfTokens) {
  for (const auto& [tokens, kernel] : {std::pair{1, kSplit}, std::pair{512, kRows}}) {
    absl::StatusOr<Graph> graph = Parse(TextOf(kCases[0], tokens), "choice");
    ASSERT_TRUE(graph.ok()) << graph.status();
    ASSERT_TRUE(CompileFor(backend(), &*graph).ok());
    EXPECT_EQ(graph->nodes()[0]->kernel(), kernel) << tokens << " tokens";
  }
}

TEST_F(VulkanAttentionChoice, HeadsThatShadersDoNotTakeAreNamed) {
  AttentionCase test = kCases[0];
  test.width = 30;
  absl::StatusOr<Graph> graph = Parse(TextOf(test, 1), "odd");
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_THAT(std::string(CompileFor(backend(), &*graph).message()),
              testing::HasSubstr("heads of 30 elements, expected a multiple of 4"));
}

}  // namespace
}  // namespace sluice
