// A model built in code: two layers of a mixture of experts, run on two backends and printed.
// This is the example that the README points to.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/builder.h"
#include "graph/text.h"
#include "passes/pipeline.h"
#include "tools/debug/random_data.h"

namespace sluice {
namespace {

constexpr int64_t kHidden = 64, kExpertWidth = 32, kExperts = 8, kUsed = 2;

// One feed-forward block: route each token to two of eight experts and add their weighted answers.
Value* MoeBlock(GraphBuilder& b, int layer, Value* x) {
  const std::string l = absl::StrCat("l", layer, "."), w = absl::StrCat("blk.", layer, ".");
  Value* norm = b.Op(l + "n", "rms_norm", {x, b.Weight(w + "ffn_norm", {DType::kF32, {kHidden}})},
                     {{"eps", 1e-6}});
  Value* router = b.Weight(w + "ffn_gate_inp", {DType::kF32, {kExperts, kHidden}});
  Value* logits = b.Op(l + "lg", "matmul", {norm, router});
  const auto routed =
      b.Ops({l + "p", l + "id"}, "topk_softmax", {logits}, {{"k", kUsed}, {"renorm", true}});
  const auto plan = b.Ops({l + "rows", l + "row_of", l + "offsets"}, "moe_gather",
                          {norm, routed[1]}, {{"experts", kExperts}});
  const TensorType in = {DType::kQ8_0, {kExperts, kExpertWidth, kHidden}};
  const TensorType out = {DType::kQ4_0, {kExperts, kHidden, kExpertWidth}};
  Value* gate = b.Op(l + "g", "expert_matmul", {plan[0], b.Weight(w + "gate", in), plan[2]});
  Value* up = b.Op(l + "u", "expert_matmul", {plan[0], b.Weight(w + "up", in), plan[2]});
  Value* hidden = b.Op(l + "h", "mul", {b.Op(l + "s", "silu", {gate}), up});
  Value* down = b.Op(l + "d", "expert_matmul", {hidden, b.Weight(w + "down", out), plan[2]});
  return b.Op(l + "y", "scaled_add", {down, routed[0], plan[1], x});
}

absl::StatusOr<Graph> TwoLayerMoe() {
  GraphBuilder b("two_layer_moe");
  b.Symbol("tokens", 16);
  Value* x = b.Input("x", {DType::kF32, {Dim::Symbol("tokens"), kHidden}});
  for (int layer = 0; layer < 2; ++layer) x = MoeBlock(b, layer, x);
  b.Output(x);
  return std::move(b).Build();
}

TEST(BuiltModel, RunsOnTheReferenceAndTheCpuAlike) {
  absl::StatusOr<Graph> graph = TwoLayerMoe();
  ASSERT_TRUE(graph.ok()) << graph.status();
  auto data = RandomData::Make(*graph, /*seed=*/7);
  ASSERT_TRUE(data.ok()) << data.status();
  const auto ref = MakeRefBackend();
  auto expected = data->Run(*ref, *graph);
  ASSERT_TRUE(expected.ok()) << expected.status();

  const auto cpu = MakeCpuBackend({.threads = 2});
  Graph compiled = graph->Clone();
  std::vector<PassReport> report;
  const absl::Status status = Optimize(*cpu, {}, &compiled, &report);
  ASSERT_TRUE(status.ok()) << status;
  auto got = data->Run(*cpu, compiled);
  ASSERT_TRUE(got.ok()) << got.status();
  // float32 sums of 64 products: roundings only, see backend_parity_test.
  EXPECT_LT(Nmse(*expected, *got), 1e-11);
}

TEST(BuiltModel, PrintsAsReadableText) {
  absl::StatusOr<Graph> graph = TwoLayerMoe();
  ASSERT_TRUE(graph.ok()) << graph.status();
  const std::string text = Print(*graph);
  EXPECT_THAT(text,
              testing::HasSubstr("%l1.g = expert_matmul(%l1.rows, @blk.1.gate, %l1.offsets) : "
                                 "f32[tokens*2,32]\n"));
  EXPECT_THAT(text, testing::HasSubstr("%l0.p, %l0.id = topk_softmax(%l0.lg) {k=2, renorm=true} : "
                                       "f32[tokens,2], i32[tokens,2]\n"));
  const auto cpu = MakeCpuBackend({.threads = 2});
  ASSERT_TRUE(Optimize(*cpu, {.stop_after = "fuse_gate_up"}, &*graph).ok());
  EXPECT_THAT(Print(*graph),
              testing::HasSubstr("%l1.h = expert_glu(%l1.rows, @blk.1.gate, @blk.1.up, "
                                 "%l1.offsets) {act=silu} : f32[tokens*2,32] by(fuse_gate_up)\n"));
}

TEST(BuiltModel, ErrorsNameTheNode) {
  GraphBuilder b("wrong");
  b.Symbol("tokens", 4);
  Value* x = b.Input("x", {DType::kF32, {Dim::Symbol("tokens"), 64}});
  b.Output(b.Op("y", "matmul", {x, b.Weight("w", {DType::kF32, {8, 32}})}));
  const auto graph = std::move(b).Build();
  ASSERT_FALSE(graph.ok());
  EXPECT_THAT(
      std::string(graph.status().message()),
      testing::AllOf(testing::HasSubstr("%y"), testing::HasSubstr("64"), testing::HasSubstr("32")));
}

}  // namespace
}  // namespace sluice
