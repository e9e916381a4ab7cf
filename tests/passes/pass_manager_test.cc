#include "passes/pass_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "backends/cpu/cpu_backend.h"
#include "graph/text.h"
#include "passes/match.h"
#include "passes/passes.h"
#include "passes/pipeline.h"

namespace sluice {
namespace {

using testing::HasSubstr;

constexpr absl::string_view kChain =
    "graph chain\nsymbol tokens <= 2\ninput %x : f32[tokens,4]\n"
    "%a = silu(%x) : f32[tokens,4]\n%b = silu(%a) : f32[tokens,4]\n"
    "%dead = silu(%b) : f32[tokens,4]\noutput %b\n";

Graph MustParse(absl::string_view text) {
  absl::StatusOr<Graph> graph = Parse(text);
  EXPECT_TRUE(graph.ok()) << graph.status();
  return *std::move(graph);
}

absl::StatusOr<bool> Nothing(Graph&, const CompileContext&) { return false; }
absl::StatusOr<bool> ClaimsChange(Graph&, const CompileContext&) { return true; }
absl::StatusOr<bool> HidesChange(Graph& graph, const CompileContext&) {
  graph.nodes()[0]->set_origin("somebody");
  return false;
}
absl::StatusOr<bool> BreaksOrder(Graph& graph, const CompileContext&) {
  graph.Move(graph.nodes()[1].get(), graph.nodes()[0].get());
  return true;
}

TEST(RunPasses, ReportsWhatEachPassDid) {
  Graph graph = MustParse(kChain);
  const std::vector<Pass> passes = {{"nothing", "", Nothing}, {"dead", "", EliminateDead}};
  std::vector<PassReport> report;
  ASSERT_TRUE(RunPasses(passes, {}, {}, &graph, &report).ok());
  ASSERT_EQ(report.size(), 2u);
  EXPECT_FALSE(report[0].changed);
  EXPECT_TRUE(report[1].changed);
  EXPECT_EQ(report[1].nodes_before, 3u);
  EXPECT_EQ(report[1].nodes_after, 2u);
}

TEST(RunPasses, CatchesAPassThatMisreportsItsChange) {
  for (const Pass& pass : {Pass{"claims", "", ClaimsChange}, Pass{"hides", "", HidesChange}}) {
    Graph graph = MustParse(kChain);
    const absl::Status status = RunPasses({&pass, 1}, {}, {}, &graph);
    EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat("pass ", pass.name)));
    EXPECT_THAT(std::string(status.message()), HasSubstr("changed="));
  }
}

TEST(RunPasses, VerifiesAfterEveryPassAndNamesIt) {
  Graph graph = MustParse(kChain);
  const Pass pass{"breaks_order", "", BreaksOrder};
  const absl::Status status = RunPasses({&pass, 1}, {}, {}, &graph);
  EXPECT_THAT(std::string(status.message()), HasSubstr("pass breaks_order: rule V"));
}

TEST(RunPasses, LimitStopAndDisable) {
  const std::vector<Pass> passes = {
      {"one", "", Nothing}, {"two", "", Nothing}, {"three", "", Nothing}};
  const auto names = [&](const PassOptions& options) {
    Graph graph = MustParse(kChain);
    std::vector<PassReport> report;
    EXPECT_TRUE(RunPasses(passes, {}, options, &graph, &report).ok());
    std::string list;
    for (const PassReport& entry : report) absl::StrAppend(&list, entry.name, " ");
    return list;
  };
  EXPECT_EQ(names({}), "one two three ");
  EXPECT_EQ(names({.limit = 2}), "one two ");
  EXPECT_EQ(names({.disabled = {"two"}}), "one three ");
  EXPECT_EQ(names({.stop_before = "three"}), "one two ");
  EXPECT_EQ(names({.stop_after = "one"}), "one ");
}

TEST(RunPasses, UnknownNamesListTheKnownOnes) {
  Graph graph = MustParse(kChain);
  const absl::Status status = RunPasses(Pipeline(), {}, {.disabled = {"fuse_everything"}}, &graph);
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(HasSubstr("fuse_everything"), HasSubstr("fuse_gate_up")));
}

// What the order of passes comes to for the CPU: "" or an error.
std::string OrderError(const std::vector<std::string>& names, Graph& graph,
                       const PassOptions& options = {}) {
  const auto cpu = MakeCpuBackend({.threads = 1});
  std::vector<Pass> passes;
  for (const std::string& name : names) passes.push_back(*FindPass(name));
  return std::string(
      RunPasses(names.empty() ? Pipeline() : passes, ContextOf(*cpu), options, &graph).message());
}

std::string OrderError(const std::vector<std::string>& names, const PassOptions& options = {}) {
  Graph graph = MustParse(kChain);
  return OrderError(names, graph, options);
}

TEST(PassOrder, APassNeedsWhatComesBeforeIt) {
  EXPECT_EQ(OrderError({"plan_memory", "select_kernels"}),
            "pass plan_memory needs a kernel for every node, and %a has none: run select_kernels "
            "before it");
  EXPECT_THAT(OrderError({"prepack_weights"}), HasSubstr("run select_kernels before it"));
  EXPECT_THAT(OrderError({}, {.disabled = {"select_kernels"}}),
              HasSubstr("pass prepack_weights needs a kernel for every node"));
  EXPECT_EQ(OrderError({"select_kernels", "prepack_weights", "plan_memory"}), "");
  EXPECT_EQ(OrderError({}, {.disabled = {"plan_memory"}}), "");
}

TEST(PassOrder, NoPassUndoesAnEarlierOne) {
  EXPECT_EQ(OrderError({"select_kernels", "fuse_qkv"}),
            "pass fuse_qkv undoes the kernels that select_kernels gives: run it before "
            "select_kernels");
  EXPECT_EQ(OrderError({"select_kernels", "plan_memory", "prepack_weights"}),
            "pass prepack_weights undoes the places in memory that plan_memory gives: run it "
            "before plan_memory");
  EXPECT_EQ(OrderError({"fuse_qkv", "canonicalise", "select_kernels"}), "");
  EXPECT_EQ(OrderError({"select_kernels", "eliminate_dead", "select_kernels"}), "");
}

TEST(PassOrder, NoPassUndoesWhatTheGraphHas) {
  Graph graph = MustParse(kChain);
  ASSERT_EQ(OrderError({"select_kernels"}, graph), "");
  EXPECT_EQ(OrderError({"eliminate_dead"}, graph),
            "pass eliminate_dead undoes the kernels that the graph has: run select_kernels after "
            "it, for new ones");
  ASSERT_EQ(OrderError({"plan_memory"}, graph), "");
  EXPECT_EQ(OrderError({"eliminate_dead"}, graph),
            "pass eliminate_dead undoes the places in memory that the graph has: run "
            "select_kernels,plan_memory after it, for new ones");
  EXPECT_EQ(OrderError({"prepack_weights"}, graph),
            "pass prepack_weights undoes the places in memory that the graph has: run plan_memory "
            "after it, for new ones");
  EXPECT_THAT(OrderError({}, graph, {.stop_after = "fuse_qkv"}), HasSubstr("undoes the places"));
  EXPECT_EQ(graph.nodes().size(), 3);
  EXPECT_EQ(OrderError({}, graph), "");  // all of it, and a new plan
  EXPECT_EQ(graph.nodes().size(), 2);
}

// A choice for a single node is no stage.
TEST(PassOrder, KernelsOfSomeNodesAreRequests) {
  Graph graph = MustParse(kChain);
  graph.nodes()[0]->set_kernel("cpu.silu");
  EXPECT_EQ(OrderError({"eliminate_dead"}, graph), "");
}

TEST(PassOrder, PlacesOfAnotherGraphAreForgotten) {
  Graph graph = MustParse(kChain);
  ASSERT_EQ(OrderError({}, graph), "");
  graph.nodes()[1]->result()->set_mem(MemSpan{"act", 1 << 20, 32});
  ASSERT_EQ(OrderError({}, graph), "");
  EXPECT_LT(graph.nodes()[1]->result()->mem()->offset, 1 << 20);
}

TEST(Fingerprint, SeesWhatPrintShows) {
  Graph graph = MustParse(kChain);
  const uint64_t before = Fingerprint(graph);
  EXPECT_EQ(Fingerprint(graph), before);
  graph.nodes()[1]->set_kernel("cpu.silu");
  const uint64_t with_kernel = Fingerprint(graph);
  EXPECT_NE(with_kernel, before);
  graph.nodes()[1]->result()->set_mem(MemSpan{"act", 64, 32});
  const uint64_t with_mem = Fingerprint(graph);
  EXPECT_NE(with_mem, with_kernel);
  graph.nodes()[1]->set_scratch(MemSpan{"act", 0, 32});
  const uint64_t with_scratch = Fingerprint(graph);
  EXPECT_NE(with_scratch, with_mem);
  ASSERT_TRUE(graph.SetBound(graph.symbols()[0].name, 1).ok());
  EXPECT_NE(Fingerprint(graph), with_scratch);
}

std::string Explanations(absl::string_view text) {
  Graph graph = MustParse(text);
  std::string all;
  CompileContext context;
  context.explain = [&](const std::string& line) { absl::StrAppend(&all, line, "\n"); };
  EXPECT_TRUE(FuseGateUp(graph, context).ok());
  return all;
}

TEST(ApplyRewrite, ExplainsNearMisses) {
  const std::string head =
      "graph miss\nsymbol tokens <= 2\ninput %x : f32[tokens,4]\ninput %y : f32[tokens,4]\n"
      "weight @g : f32[4,4]\nweight @u : f32[4,4]\n"
      "%g = matmul(%x, @g) : f32[tokens,4]\n";
  EXPECT_THAT(
      Explanations(head + "%u = matmul(%x, @u) : f32[tokens,4]\n"
                          "%s = silu(%g) : f32[tokens,4]\n%h = mul(%s, %u) : f32[tokens,4]\n"
                          "%z = add(%h, %s) : f32[tokens,4]\noutput %z\n"),
      HasSubstr("%h: not rewritten to glu: %s is also used by %z"));
  EXPECT_THAT(
      Explanations(head + "%u = matmul(%y, @u) : f32[tokens,4]\n"
                          "%s = silu(%g) : f32[tokens,4]\n%h = mul(%s, %u) : f32[tokens,4]\n"
                          "output %h\n"),
      HasSubstr("%h: not rewritten to glu: %u uses %y where another node uses %x"));
  EXPECT_THAT(
      Explanations(head + "%u = matmul(%x, @u) : f32[tokens,4]\n"
                          "%s = silu(%g) : f32[tokens,4]\n%h = mul(%s, %u) : f32[tokens,4]\n"
                          "output %h\noutput %u\n"),
      HasSubstr("%h: not rewritten to glu: %u is an output of the graph"));
}

TEST(SelectKernels, ListsEveryRejection) {
  const auto cpu = MakeCpuBackend({.threads = 1});
  CompileContext context{.caps = &cpu->caps(), .kernels = cpu->kernels()};
  Graph graph = MustParse(kChain);
  KernelSet refusing;
  for (const char* name : {"a.silu", "b.silu"}) {
    refusing.Add({name, "silu", "", [](const Node&, const proto::DeviceCaps&) {
                    return absl::UnimplementedError("not on a Sunday");
                  }});
  }
  context.kernels = &refusing;
  EXPECT_THAT(std::string(SelectKernels(graph, context).status().message()),
              testing::AllOf(HasSubstr("%a = silu(%x)"), HasSubstr("a.silu: not on a Sunday"),
                             HasSubstr("b.silu: not on a Sunday")));
}

TEST(SelectKernels, TakesTheCheapestAndRespectsAnOverride) {
  const auto accepts = [](const Node&, const proto::DeviceCaps&) { return absl::OkStatus(); };
  KernelSet set;
  set.Add({"dear", "silu", "", accepts,
           [](const Node&, const SymbolValues&, const proto::DeviceCaps&) { return 2.0; }});
  set.Add({"cheap", "silu", "", accepts,
           [](const Node&, const SymbolValues&, const proto::DeviceCaps&) { return 1.0; }});
  proto::DeviceCaps caps;
  caps.set_backend("toy");
  const CompileContext context{.caps = &caps, .kernels = &set};
  Graph graph = MustParse(kChain);
  graph.nodes()[1]->set_kernel("dear");
  ASSERT_TRUE(SelectKernels(graph, context).ok());
  EXPECT_EQ(graph.nodes()[0]->kernel(), "cheap");
  EXPECT_EQ(graph.nodes()[1]->kernel(), "dear");
  graph.nodes()[1]->set_kernel("free");
  EXPECT_THAT(std::string(SelectKernels(graph, context).status().message()),
              HasSubstr("%b asks for the kernel 'free', but toy has no such kernel for 'silu'"));
  graph.nodes()[1]->set_kernel("chaep");
  EXPECT_THAT(std::string(SelectKernels(graph, context).status().message()),
              HasSubstr("for 'silu'; did you mean 'cheap'?"));
}

}  // namespace
}  // namespace sluice
