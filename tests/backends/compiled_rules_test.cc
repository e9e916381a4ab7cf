// Each rule of backends/compiled_rules.h, broken once in a graph that was compiled for the CPU.
#include "backends/compiled_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "backends/cpu/cpu_backend.h"
#include "graph/text.h"
#include "graph/verifier.h"
#include "passes/pipeline.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;

constexpr char kBuilt[] =
    "graph g\nsymbol t <= 4\ninput %x : f32[t,64]\nweight @gain : f32[64]\nweight @w : "
    "q8_0[32,64]\n"
    "%v = reshape(%x) {shape=[t,8,8]} : f32[t,8,8]\n"
    "%a = silu(%v) : f32[t,8,8]\n"
    "%f = reshape(%a) {shape=[t,64]} : f32[t,64]\n"
    "%g = mul(@gain, @gain) : f32[64]\n"
    "%n = rms_norm(%f, %g) {eps=1e-06} : f32[t,64]\n"
    "%y = matmul(%n, @w) : f32[t,32]\noutput %y\n";

class CompiledRules : public testing::Test {
 protected:
  CompiledRules() {
    absl::StatusOr<Graph> graph = Parse(kBuilt);
    EXPECT_TRUE(graph.ok()) << graph.status();
    const absl::Status status = Optimize(*cpu_, {}, &*graph);
    EXPECT_TRUE(status.ok()) << status;
    graph_ = *std::move(graph);
  }
  Node* NodeOf(absl::string_view ref) { return graph_.Find(ref)->producer(); }
  std::string Error() const {
    return std::string(VerifyCompiled(graph_, *cpu_->kernels(), cpu_->caps()).message());
  }

  std::unique_ptr<Backend> cpu_ = MakeCpuBackend({.threads = 1});
  Graph graph_;
};

TEST_F(CompiledRules, HoldAfterThePipeline) { EXPECT_EQ(Error(), ""); }

TEST_F(CompiledRules, C1KernelsAreKnownAndAccept) {
  NodeOf("%a")->set_kernel("");
  EXPECT_THAT(Error(), AllOf(HasSubstr("rule C1 (kernels fit): %a = silu"),
                             EndsWith("has no kernel; run select_kernels")));
  NodeOf("%a")->set_kernel("cpu.gelu");
  EXPECT_THAT(Error(), HasSubstr("has the kernel 'cpu.gelu', but cpu has none of that name for "
                                 "'silu'"));
  NodeOf("%a")->set_kernel("cpu.sliu");
  EXPECT_THAT(Error(), EndsWith("; run select_kernels; did you mean 'cpu.silu'?"));
  NodeOf("%a")->set_kernel("cpu.silu");
  NodeOf("%f")->set_kernel("cpu.silu");
  EXPECT_THAT(Error(), AllOf(HasSubstr("rule C1 (kernels fit): %f = reshape"),
                             EndsWith("has the kernel 'cpu.silu', but a view needs none")));
}

TEST_F(CompiledRules, C2LayoutsAreKnownAndWanted) {
  graph_.Find("@w")->set_layout("spiral");
  EXPECT_EQ(Error(), "rule C2 (layouts fit): @w has the layout 'spiral', which cpu does not have");
}

TEST_F(CompiledRules, C3ResultsHavePlaces) {
  EXPECT_FALSE(graph_.Find("%v")->mem().has_value());  // the input's own
  const std::optional<MemSpan> place = graph_.Find("%n")->mem();
  graph_.Find("%n")->set_mem({});
  EXPECT_THAT(Error(), EndsWith("%n has no place in memory; run plan_memory"));
  graph_.Find("%n")->set_mem(MemSpan{"const", place->offset, place->bytes});
  EXPECT_THAT(Error(), EndsWith("%n is placed in 'const', expected act"));
  graph_.Find("%n")->set_mem(place);
  graph_.Find("%g")->set_mem(MemSpan{"act", 0, 256});
  EXPECT_THAT(Error(), EndsWith("%g is placed in 'act', expected const"));
  graph_.Find("%g")->set_mem(MemSpan{"const", 0, 256});
  graph_.Find("%v")->set_mem(MemSpan{"act", 0, 1024});
  EXPECT_THAT(Error(), EndsWith("%v is placed in 'act', expected none: what it is of has memory of "
                                "its own"));
  graph_.Find("@w")->set_mem(MemSpan{"act", 1 << 20, 4096});
  EXPECT_EQ(Error(),
            "rule C3 (results have places): @w is placed in 'act', expected none: it has memory of "
            "its own");
}

TEST_F(CompiledRules, C4PlacesAreAligned) {
  MemSpan place = *graph_.Find("%n")->mem();
  place.offset += 4;
  graph_.Find("%n")->set_mem(place);
  EXPECT_THAT(Error(), HasSubstr("rule C4 (places are aligned): %n = "));
}

TEST_F(CompiledRules, C5ScratchMemorySuffices) {
  const MemSpan scratch = NodeOf("%y")->scratch().value();
  NodeOf("%y")->set_scratch(MemSpan{scratch.region, scratch.offset, scratch.bytes - 1});
  EXPECT_THAT(Error(), EndsWith(absl::StrCat("its kernel needs ", scratch.bytes,
                                             " bytes of scratch memory, the plan has ",
                                             scratch.bytes - 1, "; run plan_memory")));
  NodeOf("%y")->set_scratch(MemSpan{"const", scratch.offset, scratch.bytes});
  EXPECT_THAT(Error(), EndsWith("its scratch memory is in 'const', expected act"));
  NodeOf("%y")->set_scratch(scratch);
  NodeOf("%a")->set_scratch(MemSpan{"const", 0, 64});  // whose kernel needs none
  EXPECT_THAT(Error(), EndsWith("its scratch memory is in 'const', expected act"));
}

TEST_F(CompiledRules, C6PlacesAreCloseTogether) {
  // %a, %n, %y and the scratch of its product; %f is %a.
  const MemSpan place = *graph_.Find("%y")->mem(), scratch = *NodeOf("%y")->scratch();
  const int64_t most = 2 * 1024 + 512 + AlignPlace(scratch.bytes);
  graph_.Find("%y")->set_mem(MemSpan{"act", most - 512, 512});
  EXPECT_EQ(Error(), "");
  graph_.Find("%y")->set_mem(MemSpan{"act", most - 448, 512});
  EXPECT_THAT(Error(),
              AllOf(HasSubstr("rule C6 (places are close together): %y = "),
                    HasSubstr(absl::StrCat("all of act takes ", most, " bytes one after"))));
  graph_.Find("%y")->set_mem(place);
  NodeOf("%y")->set_scratch(MemSpan{"act", scratch.offset, int64_t{1} << 40});
  EXPECT_THAT(Error(), AllOf(HasSubstr("%y = matmul"),
                             HasSubstr("its scratch memory has 1099511627776 bytes at act+0x")));
}

// With a kernel of %y that wants its bias made of its rows.
TEST_F(CompiledRules, C7DerivedOperandsAreThere) {
  KernelSet kernels;
  for (Kernel kernel : cpu_->kernels()->kernels()) {
    if (kernel.name == NodeOf("%y")->kernel()) {
      kernel.derived = {.operand = 2, .make = [](const Node& node) {
                          return NodeSpec{
                              .op = "mean_of", .operands = {node.operands().front()}, .names = {}};
                        }};
    }
    kernels.Add(std::move(kernel));
  }
  EXPECT_THAT(std::string(VerifyCompiled(graph_, kernels, cpu_->caps()).message()),
              AllOf(HasSubstr("rule C7 (derived operands are there): %y = matmul"),
                    HasSubstr("its kernel needs the operand bias from mean_of(%n)"),
                    EndsWith("; run derive_operands")));
}

}  // namespace
}  // namespace sluice
