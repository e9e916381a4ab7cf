// sluice verify: plans as they stand, packed weights, and agreement that is worth something.
#include "tools/debug/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/text.h"
#include "passes/pipeline.h"
#include "tests/support/program.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A view of an input, a view of a result, a constant, two products with scratch memory, of which
// one has packed weights, and a value that lives beside others.
constexpr char kBuilt[] =
    "graph g\nsymbol t <= 4\ninput %x : f32[t,64]\nweight @gain : f32[64]\n"
    "weight @packed : q4_0[32,64]\nweight @plain : q8_0[32,64]\n"
    "%split = reshape(%x) {shape=[t,8,8]} : f32[t,8,8]\n"
    "%act = silu(%split) : f32[t,8,8]\n"
    "%flat = reshape(%act) {shape=[t,64]} : f32[t,64]\n"
    "%square = mul(@gain, @gain) : f32[64]\n"
    "%norm = rms_norm(%flat, %square) {eps=1e-06} : f32[t,64]\n"
    "%left = matmul(%norm, @packed) : f32[t,32]\n"
    "%right = matmul(%flat, @plain) : f32[t,32]\n"
    "%sum = add(%left, %right) : f32[t,32]\noutput %sum\n";

constexpr int64_t kTebibyte = int64_t{1} << 40;

MemSpan Moved(const std::optional<MemSpan>& span, int64_t by) {
  return {span->region, span->offset + by, span->bytes};
}
MemSpan Sized(const std::optional<MemSpan>& span, int64_t bytes) {
  return {span->region, span->offset, bytes};
}
MemSpan In(const std::string& region, const std::optional<MemSpan>& span) {
  return {region, span->offset, span->bytes};
}

class VerifyPlans : public testing::Test {
 protected:
  VerifyPlans() {
    absl::StatusOr<Graph> graph = Parse(kBuilt);
    EXPECT_TRUE(graph.ok()) << graph.status();
    // Room for one of the two weights: q4_0 is the smaller one.
    PackPlan packs{.budget = 32 * 64 / 32 * 20};
    const absl::Status status = Optimize(*cpu_, {.packs = &packs}, &*graph);
    EXPECT_TRUE(status.ok()) << status;
    graph_ = *std::move(graph);
    EXPECT_EQ(graph_.Find("@packed")->layout(), "x16") << Print(graph_);
    EXPECT_EQ(graph_.Find("@plain")->layout(), "") << Print(graph_);
  }

  // As from a file in which somebody has edited the graph.
  absl::StatusOr<std::vector<StepComparison>> Run(const Graph& edited, bool as_is) {
    absl::StatusOr<Graph> graph = Parse(Print(edited));
    if (!graph.ok()) return graph.status();
    return CompareBackends(GraphSetup{*graph, /*seed=*/1, as_is}, ref_.get(), *cpu_,
                           {.tolerance = DefaultTolerance(*graph)});
  }

  std::unique_ptr<Backend> cpu_ = MakeCpuBackend({.threads = 1});
  std::unique_ptr<Backend> ref_ = MakeRefBackend({.round_activations = true});
  Graph graph_;
};

TEST_F(VerifyPlans, WhatWasCompiledAgreesAsItIsAndPlannedAnew) {
  for (const bool as_is : {true, false}) {
    const auto steps = Run(graph_, as_is);
    ASSERT_TRUE(steps.ok()) << steps.status();
    EXPECT_EQ(FirstFault(*steps), nullptr) << FirstFault(*steps)->comparison.fault->reason;
    EXPECT_EQ(ValuesSeen(*steps), 7);  // the constant is not of the step
  }
}

struct Edit {
  std::string what;
  std::function<void(Graph&)> edit;
  std::string rule, blamed;  // that the message names
};

Value* At(Graph& graph, absl::string_view ref) { return graph.Find(ref); }
Node* NodeAt(Graph& graph, absl::string_view ref) { return graph.Find(ref)->producer(); }

std::vector<Edit> MemoryEdits() {
  const auto place = [](const std::string& ref, const auto& change) {
    return [=](Graph& g) { At(g, ref)->set_mem(change(At(g, ref)->mem())); };
  };
  const auto none = [](const auto&) { return std::optional<MemSpan>(); };
  const auto by = [](int64_t bytes) {
    return [bytes](const auto& span) { return Moved(span, bytes); };
  };
  const auto onto = [](const std::string& ref, const std::string& other) {
    return [=](Graph& g) {
      At(g, ref)->set_mem(MemSpan{"act", At(g, other)->mem()->offset, At(g, ref)->mem()->bytes});
    };
  };
  return {
      {"no place for a result", place("%act", none), "C3", "%act = "},
      {"no place for a view", place("%flat", none), "C3", "%flat = "},
      {"no place for a constant", place("%square", none), "C3", "%square = "},
      {"no place for a product", place("%left", none), "C3", "%left = "},
      {"no place for an output", place("%sum", none), "C3", "%sum = "},
      {"misaligned by 4", place("%norm", by(4)), "V11", "%norm: is placed at the offset"},
      {"misaligned by 32", place("%right", by(32)), "V11", "%right: is placed at the offset"},
      {"a misaligned constant", place("%square", by(16)), "V11", "%square: is placed"},
      {"too small", place("%norm", [](const auto& s) { return Sized(s, s->bytes - 64); }), "V11",
       "%norm: has a place of"},
      {"onto an operand", onto("%right", "%flat"), "V11", "%right: has "},
      {"onto a neighbour", onto("%right", "%left"), "V11", "%right: has "},
      {"half onto an operand",
       [](Graph& g) { At(g, "%norm")->set_mem(Moved(At(g, "%flat")->mem(), 64)); }, "V11",
       "%norm: has "},
      {"a view elsewhere", place("%flat", by(0x4000)), "V11", "%flat: shares the storage of %act"},
      {"what a view shows, elsewhere", place("%act", by(0x4000)), "V11", "%act"},
      {"a place for a view of an input",
       [](Graph& g) {
         At(g, "%split")->set_mem(MemSpan{"act", 0x4000, 1024});
       },
       "C3", "%split = "},
      {"a place for a weight",
       [](Graph& g) {
         At(g, "@plain")->set_mem(MemSpan{"act", 0x4000, 4096});
       },
       "C3", "@plain is"},
      {"a place for an input",
       [](Graph& g) {
         At(g, "%x")->set_mem(MemSpan{"act", 0x4000, 1024});
       },
       "C3", "%x is"},
      {"a constant in the arena", place("%square", [](const auto& s) { return In("act", s); }), "",
       "%square"},
      {"a result among constants",
       place("%norm",
             [](const auto& s) {
               return MemSpan{"const", 0x4000, s->bytes};
             }),
       "C3", "%norm = "},
      {"far away", place("%sum", by(kTebibyte)), "C6", "%sum = "},
      {"huge", place("%sum", [](const auto& s) { return Sized(Moved(s, 0x4000), kTebibyte); }),
       "C6", "%sum = "},
  };
}

std::vector<Edit> ScratchEdits() {
  const auto scratch = [](const std::string& ref, const auto& change) {
    return [=](Graph& g) { NodeAt(g, ref)->set_scratch(change(NodeAt(g, ref)->scratch())); };
  };
  return {
      {"no scratch", scratch("%right", [](const auto&) { return std::optional<MemSpan>(); }), "C5",
       "%right = "},
      {"scratch too small", scratch("%left", [](const auto& s) { return Sized(s, s->bytes - 1); }),
       "C5", "%left = "},
      {"scratch of a tebibyte",
       scratch("%right",
               [](const auto&) {
                 return MemSpan{"act", 0x40000, kTebibyte};
               }),
       "C6", "%right = "},
      {"scratch among constants",
       scratch("%right",
               [](const auto& s) {
                 return MemSpan{"const", 0x4000, s->bytes};
               }),
       "C5", "%right = "},
      {"misaligned scratch", scratch("%left", [](const auto& s) { return Moved(s, 8); }), "V11",
       "%left: is placed at the offset"},
      {"scratch onto an operand",
       [](Graph& g) {
         Node* node = NodeAt(g, "%left");
         node->set_scratch(MemSpan{"act", At(g, "%norm")->mem()->offset, node->scratch()->bytes});
       },
       "V11", "the scratch memory of %left has"},
      {"scratch onto the result",
       [](Graph& g) {
         Node* node = NodeAt(g, "%right");
         node->set_scratch(MemSpan{"act", At(g, "%right")->mem()->offset, node->scratch()->bytes});
       },
       "V11", "the scratch memory of %right has"},
  };
}

std::vector<Edit> KernelEdits() {
  const auto kernel = [](const std::string& ref, const std::string& name) {
    return [=](Graph& g) { NodeAt(g, ref)->set_kernel(name); };
  };
  const auto layout = [](const std::string& ref, const std::string& name) {
    return [=](Graph& g) { At(g, ref)->set_layout(name); };
  };
  return {
      {"no kernel", kernel("%act", ""), "C1", "%act = "},
      {"an unknown kernel", kernel("%norm", "cpu.of_the_future"), "C1", "%norm = "},
      {"another op's kernel", kernel("%act", "cpu.gelu"), "C1", "%act = "},
      {"a kernel for a view", kernel("%flat", "cpu.silu"), "C1", "%flat = "},
      {"a kernel for another layout", kernel("%left", "cpu.matmul.panel"), "C2", "%left = "},
      {"no layout", layout("@packed", ""), "C2", "%left = "},
      {"an unknown layout", layout("@packed", "spiral"), "C2", "@packed has"},
      {"a layout that the kernel does not read", layout("@plain", "x16"), "C2", "%right = "},
      {"a constant in every step", [](Graph& g) { NodeAt(g, "%square")->set_once(false); }, "",
       "%square"},
      {"more tokens than planned", [](Graph& g) { ASSERT_TRUE(g.SetBound("t", 8).ok()); }, "V11",
       "%act: has a place of"},
      {"another output", [](Graph& g) { ASSERT_TRUE(g.AddOutput(At(g, "%norm")).ok()); }, "V11",
       "%norm"},
  };
}

TEST_F(VerifyPlans, EveryEditOfAPlanIsCaughtAsItIsAtItsNode) {
  size_t edits = 0;
  for (const auto& list : {MemoryEdits(), ScratchEdits(), KernelEdits()}) {
    for (const Edit& edit : list) {
      SCOPED_TRACE(edit.what);
      Graph edited = graph_.Clone();
      edit.edit(edited);
      const auto steps = Run(edited, /*as_is=*/true);
      EXPECT_FALSE(steps.ok()) << Print(edited);
      EXPECT_THAT(std::string(steps.status().message()),
                  AllOf(HasSubstr(absl::StrCat("rule ", edit.rule)), HasSubstr(edit.blamed)));
      ++edits;
    }
  }
  EXPECT_GE(edits, 30u);
}

TEST_F(VerifyPlans, PlansThatAreMadeAnewAreToldOf) {
  EXPECT_THAT(NoteOnPlan(graph_, *cpu_),
              AllOf(HasSubstr("has a memory plan"), HasSubstr("--as-is")));
  EXPECT_THAT(NoteOnPlan(graph_, *ref_), HasSubstr("which ref does not look at"));
  graph_.Find("%norm")->set_mem({});
  EXPECT_THAT(NoteOnPlan(graph_, *cpu_),
              AllOf(HasSubstr("does not hold for cpu: rule C3"), HasSubstr("%norm = "),
                    HasSubstr("it is made anew")));
  const auto steps = Run(graph_, /*as_is=*/false);
  ASSERT_TRUE(steps.ok()) << steps.status();
  EXPECT_EQ(FirstFault(*steps), nullptr);
  EXPECT_THAT(NoteOnPlan(*Parse(kBuilt), *cpu_), IsEmpty());
}

TEST_F(VerifyPlans, TheReferenceHasNoPlanToTakeAsItIs) {
  const auto steps = CompareBackends(GraphSetup{graph_, 1, /*as_is=*/true}, nullptr, *ref_, {});
  EXPECT_THAT(std::string(steps.status().message()), HasSubstr("ref has neither"));
}

TEST_F(VerifyPlans, NothingSeenIsNotAgreement) {
  const auto no_pass = ComparePasses(GraphSetup{graph_}, *cpu_, {});
  ASSERT_TRUE(no_pass.ok()) << no_pass.status();
  EXPECT_EQ(ValuesSeen(*no_pass), 0);
  const auto looked_at = CompareBackends(GraphSetup{graph_}, nullptr, *cpu_, {});
  ASSERT_TRUE(looked_at.ok()) << looked_at.status();
  EXPECT_EQ(ValuesSeen(*looked_at), 7);
}

// --- The command ----------------------------------------------------------------------------

class VerifyCommand : public testing::Test {
 protected:
  VerifyCommand() { std::filesystem::create_directories(folder_); }
  ~VerifyCommand() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = absl::StrCat(folder_, "/", name);
    std::ofstream(path) << text;
    return path;
  }
  // Both streams, of a command that ends so.
  static std::string Run(const std::vector<std::string>& arguments, int code) {
    Program program(arguments);
    EXPECT_EQ(program.Finish(), code) << program.output() << program.errors();
    return absl::StrCat(program.output(), program.errors());
  }
  // The final graph of a step of the embedded model, with packed weights.
  std::string FinalGraph() {
    return Run({"dump", "--final", "--tokens", "2", "-c", "16", "-t", "1"}, 0);
  }

  const std::string folder_ =
      absl::StrCat(testing::TempDir(), "/verify_test.", static_cast<int64_t>(getpid()));
};

TEST_F(VerifyCommand, AFinalGraphWithPackedWeightsAgreesAndHasNothingToReduce) {
  const std::string text = FinalGraph();
  ASSERT_THAT(text, AllOf(HasSubstr("layout(x16)"), HasSubstr("scratch(act+")));
  const std::string path = Write("final.ir", text);
  EXPECT_THAT(Run({"verify", path, "-t", "1"}, 0),
              AllOf(HasSubstr("\nagree: "), HasSubstr(" values compared"), HasSubstr("warning: "),
                    HasSubstr("has a memory plan: it is made anew")));
  EXPECT_THAT(Run({"verify", path, "-t", "1", "--as-is"}, 0),
              AllOf(HasSubstr("\nagree: "), Not(HasSubstr("warning"))));
  EXPECT_THAT(Run({"reduce", path, "-t", "1"}, 1), HasSubstr("nothing fails"));
  EXPECT_THAT(Run({"verify", path, "-t", "1", "--pass-by-pass"}, 1),
              AllOf(HasSubstr("no value was compared: no pass changes"), Not(HasSubstr("agree"))));
}

TEST_F(VerifyCommand, ABrokenPlanIsNeverSilent) {
  std::string text = FinalGraph();
  const size_t at = text.find(" mem(act+"), end = text.find(')', at);
  const std::string path = Write("broken.ir", text.erase(at, end + 1 - at));
  const auto broken = HasSubstr("rule C3 (results have places): ");
  EXPECT_THAT(Run({"verify", path, "-t", "1", "--as-is"}, 1),
              AllOf(broken, Not(HasSubstr("agree"))));
  EXPECT_THAT(Run({"verify", path, "-t", "1"}, 0),
              AllOf(broken, HasSubstr("warning: "), HasSubstr("agree: ")));
  EXPECT_THAT(Run({"reduce", path, "-t", "1"}, 1), AllOf(broken, HasSubstr("warning: ")));
  EXPECT_THAT(Run({"opt", path, "-t", "1"}, 0), AllOf(broken, HasSubstr("warning: ")));
}

TEST_F(VerifyCommand, WithoutAValueNothingAgrees) {
  const std::string path =
      Write("idle.ir", "graph g\ninput %x : f32[2,8]\n%y = silu(%x) : f32[2,8]\n");
  for (const char* against : {"ref", "none"}) {
    EXPECT_THAT(Run({"verify", path, "--against", against}, 1),
                AllOf(HasSubstr("no value was compared"), Not(HasSubstr("agree")),
                      Not(HasSubstr("all finite"))));
  }
}

TEST_F(VerifyCommand, OptionsThatNeedAGraphOrAModelSaySo) {
  EXPECT_THAT(Run({"verify", "--as-is"}, 1), HasSubstr("--as-is needs a graph in a file"));
  const std::string path =
      Write("g.ir", "graph g\ninput %x : f32[2,8]\n%y = silu(%x) : f32[2,8]\noutput %y\n");
  EXPECT_THAT(Run({"verify", path, "--packed"}, 2), HasSubstr("--packed acts only on a model"));
  EXPECT_THAT(Run({"verify", path}, 0), HasSubstr("agree: 1 values compared"));
}

TEST_F(VerifyCommand, OptRefusesPassesInAnOrderThatUndoesThem) {
  const std::string path = Write("built.ir", kBuilt);
  EXPECT_THAT(Run({"opt", path, "--passes", "plan_memory,select_kernels"}, 1),
              HasSubstr("pass plan_memory needs a kernel for every node, and %act has none: run "
                        "select_kernels before it"));
  EXPECT_THAT(Run({"opt", path, "--passes", "select_kernels,fuse_qkv"}, 1),
              HasSubstr("pass fuse_qkv undoes the kernels that select_kernels gives: run it before "
                        "select_kernels"));
  const std::string planned = Run({"opt", path, "--passes", "select_kernels,plan_memory"}, 0);
  EXPECT_THAT(Run({"opt", Write("planned.ir", planned), "--passes", "fuse_qkv"}, 1),
              HasSubstr("pass fuse_qkv undoes the places in memory that the graph has: run "
                        "select_kernels,plan_memory after it"));
}

}  // namespace
}  // namespace sluice
