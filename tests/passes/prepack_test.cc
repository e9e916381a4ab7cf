// prepack_weights with kernels that exist only here, so that costs are plain numbers: a product
// takes one second per weight row in the file's layout and half of that in the layout `fast`, which
// takes 4 bytes per weight. `fast` refuses weights of more than 64 rows; embeddings read `plain`
// only.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "graph/text.h"
#include "passes/memory_plan.h"
#include "passes/passes.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

double Rows(const Node& node) {
  double rows = 0;
  for (size_t i = 0; i < node.operands().size(); ++i) {
    if (IsPackable(node.op(), i)) {
      rows += static_cast<double>(node.operand(i)->type().shape[0].factor());
    }
  }
  return rows;
}

KernelSet Kernels() {
  const auto plain = [](const Node& node, const SymbolValues&, const proto::DeviceCaps&) {
    return Rows(node);
  };
  const auto fast = [](const Node& node, const SymbolValues&, const proto::DeviceCaps&) {
    return Rows(node) / 2;
  };
  KernelSet kernels;
  for (const char* op : {"matmul", "glu", "embedding"}) {
    kernels.Add(
        {.name = absl::StrCat(op, ".plain"), .op = op, .accepts = AcceptsAll, .cost = plain});
  }
  for (const char* op : {"matmul", "glu"}) {
    kernels.Add({.name = absl::StrCat(op, ".fast"),
                 .op = op,
                 .accepts = AcceptsAll,
                 .cost = fast,
                 .layout = "fast"});
  }
  kernels.AddLayout({.name = "fast",
                     .accepts =
                         [](const TensorType& type) {
                           return type.shape[0].factor() <= 64 ? absl::OkStatus()
                                                               : absl::UnimplementedError("rows");
                         },
                     .bytes =
                         [](const TensorType& type) {
                           return 4 * type.shape[0].factor() * type.shape[1].factor();
                         }});
  return kernels;
}

class Prepack : public testing::Test {
 protected:
  // Runs select_kernels and prepack_weights over one line each of weights and nodes.
  std::vector<std::string> Layouts(absl::string_view lines, int64_t budget) {
    plan_.budget = budget;
    absl::StatusOr<Graph> graph = Parse(
        absl::StrCat("graph g\nsymbol t <= 4\ninput %x : f32[t,32]\ninput %ids : i32[t]\n", lines));
    EXPECT_TRUE(graph.ok()) << graph.status();
    CompileContext context{.caps = &caps_, .kernels = &kernels_, .packs = &plan_};
    context.explain = [&](const std::string& what) { explained_.push_back(what); };
    EXPECT_TRUE(SelectKernels(*graph, context).ok());
    const absl::StatusOr<bool> changed = PrepackWeights(*graph, context);
    EXPECT_TRUE(changed.ok()) << changed.status();
    std::vector<std::string> found;
    for (const auto& node : graph->nodes()) found.push_back(node->kernel());
    EXPECT_EQ(*changed, testing::Matches(testing::Contains(testing::EndsWith("fast")))(found));
    const absl::StatusOr<MemoryPlan> memory = MemoryPlanOf(*graph, &kernels_);
    EXPECT_TRUE(memory.ok()) << memory.status();
    packed_ = memory->packed;
    return found;
  }

  KernelSet kernels_ = Kernels();
  proto::DeviceCaps caps_;
  PackPlan plan_;
  std::vector<std::string> explained_;
  int64_t packed_ = 0;
};

constexpr char kTwo[] =
    "weight @a : f32[64,32]\nweight @b : q8_0[16,32]\n"
    "%y = matmul(%x, @a) : f32[t,64]\n%z = matmul(%x, @b) : f32[t,16]\n";

TEST_F(Prepack, TakesWhatTheBudgetAllows) {
  EXPECT_THAT(Layouts(kTwo, 8192 + 2048), ElementsAre("matmul.fast", "matmul.fast"));
  EXPECT_EQ(packed_, 8192 + 2048);
  EXPECT_EQ(plan_.used, packed_);
  EXPECT_THAT(explained_, IsEmpty());
}

TEST_F(Prepack, SaysWhatTheBudgetForbids) {
  EXPECT_THAT(Layouts(kTwo, 8191), ElementsAre("matmul.plain", "matmul.fast"));
  EXPECT_THAT(explained_, ElementsAre(HasSubstr("@a: not in the layout fast, which would save "
                                                "32000.000 ms: it takes 8192 bytes, of the budget "
                                                "8191 are left")));
}

TEST_F(Prepack, CountsAWeightOnceForAllBuckets) {
  Layouts(kTwo, 10240);
  EXPECT_THAT(Layouts(kTwo, 10240), ElementsAre("matmul.fast", "matmul.fast"));
  EXPECT_EQ(plan_.used, 10240);
  EXPECT_THAT(plan_.layouts, ElementsAre(Pair("a", "fast"), Pair("b", "fast")));
}

TEST_F(Prepack, LeavesWeightsWithOtherUsers) {
  // As in models whose output is the table of embeddings.
  EXPECT_THAT(Layouts("weight @table : f32[64,32]\n%e = embedding(@table, %ids) : f32[t,32]\n"
                      "%y = matmul(%e, @table) : f32[t,64]\n",
                      1 << 20),
              ElementsAre("embedding.plain", "matmul.plain"));
}

TEST_F(Prepack, ChangesTheWeightsOfANodeTogether) {
  constexpr char kGlu[] =
      "weight @gate : f32[64,32]\nweight @up : f32[64,32]\n"
      "%h = glu(%x, @gate, @up) {act=silu} : f32[t,64]\n";
  EXPECT_THAT(Layouts(kGlu, 8192), ElementsAre("glu.plain"));
  EXPECT_THAT(Layouts(kGlu, 16384), ElementsAre("glu.fast"));
}

TEST_F(Prepack, AsksTheLayout) {
  EXPECT_THAT(Layouts("weight @a : f32[65,32]\n%y = matmul(%x, @a) : f32[t,65]\n", 1 << 20),
              ElementsAre("matmul.plain"));
}

TEST_F(Prepack, DoesNothingWithoutAPlan) {
  absl::StatusOr<Graph> graph =
      Parse(absl::StrCat("graph g\nsymbol t <= 4\ninput %x : f32[t,32]\n", kTwo));
  ASSERT_TRUE(graph.ok()) << graph.status();
  const std::string before = Print(*graph);
  const auto changed = PrepackWeights(*graph, {.caps = &caps_, .kernels = &kernels_});
  EXPECT_TRUE(changed.ok() && !*changed);
  EXPECT_EQ(Print(*graph), before);
}

}  // namespace
}  // namespace sluice
