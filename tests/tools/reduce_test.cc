// Reduction of failing graphs: tools/debug/reduce.h and failure.h.
#include "tools/debug/reduce.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "backends/cpu/cpu_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/text.h"
#include "graph/verifier.h"
#include "models/model.h"
#include "passes/pipeline.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/paths.h"
#include "tests/support/random_graph.h"
#include "tools/debug/failure.h"

namespace sluice {
namespace {

using testing::HasSubstr;

bool HasOp(const Graph& graph, absl::string_view op) {
  return std::any_of(graph.nodes().begin(), graph.nodes().end(),
                     [&](const auto& node) { return node->op().name == op; });
}

Graph ReducedTo(const Graph& graph, const FailsOn& fails, const ReduceOptions& options = {}) {
  absl::StatusOr<Graph> reduced = Reduce(graph, fails, options);
  EXPECT_TRUE(reduced.ok()) << reduced.status();
  return reduced.ok() ? *std::move(reduced) : Graph();
}

TEST(Reduce, AnyOpOfARandomGraphRemainsAlone) {
  int reduced_graphs = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const absl::StatusOr<Graph> graph = MakeRandomGraph(seed);
    ASSERT_TRUE(graph.ok()) << graph.status();
    for (const absl::string_view op : {"attention", "kv_append", "expert_matmul", "concat"}) {
      if (!HasOp(*graph, op)) continue;
      SCOPED_TRACE(absl::StrCat("seed ", seed, ", ", op));
      const Graph reduced = ReducedTo(*graph, [&](const Graph& g) {
        EXPECT_TRUE(Verify(g).ok());
        return HasOp(g, op);
      });
      EXPECT_EQ(reduced.nodes().size(), 1) << Print(reduced);
      for (const SymbolDef& symbol : reduced.symbols()) EXPECT_EQ(symbol.bound, 1) << symbol.name;
      ++reduced_graphs;
    }
  }
  EXPECT_GE(reduced_graphs, 10);
}

TEST(Reduce, StatesAndOptionalOperandsAreCutWithTheRest) {
  const absl::StatusOr<Graph> graph = Parse(
      "graph g\nsymbol tokens <= 8\ninput %x : f32[tokens,16]\ninput %slots : i32[tokens]\n"
      "input %pos : i32[tokens]\ninput %seq : i32[tokens]\ninput %tables : i32[1,2]\n"
      "input %lens : i32[1]\nweight @w : f32[16,16]\nweight @b : f32[16]\n"
      "state %kc : state<f16[4,2,4,8]>\nstate %vc : state<f16[4,2,4,8]>\n"
      "%q = matmul(%x, @w, @b) : f32[tokens,16]\n"
      "%qh = reshape(%q) {shape=[tokens,2,8]} : f32[tokens,2,8]\n"
      "%kc1, %vc1 = kv_append(%kc, %vc, %qh, %qh, %slots) : state<f16[4,2,4,8]>, "
      "state<f16[4,2,4,8]>\n"
      "%a = attention(%qh, %kc1, %vc1, %pos, %seq, %tables, %lens) {scale=0.5} : "
      "f32[tokens,2,8]\n"
      "output %a\n");
  ASSERT_TRUE(graph.ok()) << graph.status();
  const Graph attention = ReducedTo(*graph, [](const Graph& g) { return HasOp(g, "attention"); });
  EXPECT_EQ(Print(attention),
            "graph g\nsymbol tokens <= 1\ninput %pos : i32[tokens]\ninput %seq : i32[tokens]\n"
            "input %tables : i32[1,2]\ninput %lens : i32[1]\ninput %qh : f32[tokens,2,8]\n\n"
            "state %kc1 : state<f16[4,2,4,8]>\nstate %vc1 : state<f16[4,2,4,8]>\n"
            "%a = attention(%qh, %kc1, %vc1, %pos, %seq, %tables, %lens) {scale=0.5} : "
            "f32[tokens,2,8]\n\noutput %a\n");
  const Graph matmul = ReducedTo(*graph, [](const Graph& g) { return HasOp(g, "matmul"); });
  EXPECT_EQ(Print(matmul),
            "graph g\nsymbol tokens <= 1\ninput %x : f32[tokens,16]\n\nweight @w : f32[16,16]\n"
            "%q = matmul(%x, @w) : f32[tokens,16]\n\noutput %q\n");
}

TEST(Reduce, WhatDoesNotFailIsRefused) {
  const absl::StatusOr<Graph> graph = MakeRandomGraph(1);
  ASSERT_TRUE(graph.ok());
  const auto reduced = Reduce(*graph, [](const Graph&) { return false; }, {});
  EXPECT_EQ(reduced.status().code(), absl::StatusCode::kInvalidArgument);
}

// --- Failures of backends -------------------------------------------------------------------

// Reduces a graph that fails on the faulty backend, and returns it.
void ExpectSmall(const Graph& graph, DType format) {
  const auto ref = MakeRefBackend();
  const auto faulty = MakeFaultyBackend(MakeCpuBackend({.threads = 1}), format);
  FailureFinder finder(*ref, *faulty, {});
  const std::optional<Failure> failure = finder.Find(graph);
  ASSERT_TRUE(failure.has_value());
  ASSERT_TRUE(failure->status.ok()) << failure->status;
  const Graph reduced = ReducedTo(graph,
                                  [&](const Graph& smaller) {
                                    const auto found = finder.Find(smaller);
                                    return found.has_value() && found->IsLike(*failure);
                                  },
                                  {.suspect = failure->value});
  EXPECT_LE(reduced.nodes().size(), 5) << Print(reduced);
  EXPECT_THAT(Print(reduced), HasSubstr(absl::StrCat(" : ", Name(format), "[")));
  // As small as it is, the sound backend computes it.
  const auto cpu = MakeCpuBackend({.threads = 1});
  EXPECT_FALSE(FailureFinder(*ref, *cpu, {}).Find(reduced).has_value());
}

absl::StatusOr<Graph> SmallGraphOf(absl::StatusOr<std::unique_ptr<Model>> model) {
  if (!model.ok()) return model.status();
  return (*model)->BuildGraph({.max_tokens = 4, .context = 16, .block_size = 4});
}

TEST(Reduce, ABrokenDecoderIsLeftWithAFewNodes) {
  const auto graph = SmallGraphOf(Model::Load(TestDataDir() + "/models/llama.Q4_0.gguf"));
  ASSERT_TRUE(graph.ok()) << graph.status();
  ExpectSmall(*graph, DType::kQ4_0);
}

TEST(Reduce, ABrokenDecoderOfAFusedGraphIsLeftWithAFewNodes) {
  auto graph = SmallGraphOf(Model::LoadEmbedded());
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_TRUE(Optimize(*MakeCpuBackend({.threads = 1}), {}, &*graph).ok());
  ExpectSmall(*graph, DType::kQ4_K);
}

TEST(Reduce, AnErrorIsKeptByItsCodeAndOp) {
  const absl::StatusOr<Graph> graph = Parse(
      "graph g\nsymbol tokens <= 3\ninput %x : f32[tokens,8]\n"
      "%a = scale(%x) {factor=2.0} : f32[tokens,8]\n"
      "%b = softmax(%a) : f32[tokens,8] kernel(\"cpu.unheard_of\")\n"
      "%c = silu(%b) : f32[tokens,8]\n"
      "output %a\noutput %c\n");
  ASSERT_TRUE(graph.ok()) << graph.status();
  const auto ref = MakeRefBackend(), cpu = MakeCpuBackend({.threads = 1});
  FailureFinder finder(*ref, *cpu, {.errors_only = true});
  const std::optional<Failure> failure = finder.Find(*graph);
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->status.code(), absl::StatusCode::kInvalidArgument);
  const Graph reduced = ReducedTo(*graph, [&](const Graph& smaller) {
    const auto found = finder.Find(smaller);
    return found.has_value() && found->IsLike(*failure);
  });
  ASSERT_EQ(reduced.nodes().size(), 1) << Print(reduced);
  EXPECT_EQ(reduced.nodes()[0]->kernel(), "cpu.unheard_of");
}

TEST(Reduce, APlanAsItStandsIsReducedToTheNodeThatBreaksARule) {
  auto graph = SmallGraphOf(Model::LoadEmbedded());
  ASSERT_TRUE(graph.ok()) << graph.status();
  const auto ref = MakeRefBackend(), cpu = MakeCpuBackend({.threads = 1});
  ASSERT_TRUE(Optimize(*cpu, {}, &*graph).ok());
  FailureFinder finder(*ref, *cpu, {.as_is = true});
  EXPECT_FALSE(finder.Find(*graph).has_value());
  Value* const wrong = graph->Find("%l1.r");
  ASSERT_NE(wrong, nullptr);
  wrong->set_mem({});
  EXPECT_FALSE(FailureFinder(*ref, *cpu, {}).Find(*graph).has_value());  // it is planned anew
  const std::optional<Failure> failure = finder.Find(*graph);
  ASSERT_TRUE(failure.has_value());
  EXPECT_THAT(failure->what, HasSubstr("rule C3"));
  const Graph reduced = ReducedTo(*graph, [&](const Graph& smaller) {
    const auto found = finder.Find(smaller);
    return found.has_value() && found->IsLike(*failure);
  });
  EXPECT_EQ(reduced.nodes().size(), 1) << Print(reduced);
}

// Both sides round where a weight has a layout: else every graph with packed weights fails.
TEST(Reduce, PackedWeightsAreNoFailure) {
  auto graph = SmallGraphOf(Model::LoadEmbedded());
  ASSERT_TRUE(graph.ok()) << graph.status();
  const auto cpu = MakeCpuBackend({.threads = 1});
  PackPlan packs{.budget = int64_t{1} << 40};
  ASSERT_TRUE(Optimize(*cpu, {.packs = &packs}, &*graph).ok());
  const auto rounding = MakeRefBackend({.round_activations = true}), exact = MakeRefBackend();
  EXPECT_FALSE(FailureFinder(*rounding, *cpu, {}).Find(*graph).has_value());
  FailureFinder sharp(*exact, *cpu, {.tolerance = 1e-8});
  EXPECT_TRUE(sharp.Find(*graph).has_value()) << "nothing was packed";
}

}  // namespace
}  // namespace sluice
