#include "passes/pipeline.h"

#include <array>

#include "passes/passes.h"

namespace sluice {
namespace {

constexpr std::array kPipeline = {
    // First, so that each later pass needs one pattern and not one per spelling.
    Pass{"canonicalise", "one spelling for everything that can be written in several ways",
         Canonicalise},
    // Before fusion: a value computed twice would look like two, and a fusion of one copy would
    // hide
    // that the other is the same.
    Pass{"eliminate_common", "equal nodes become one", EliminateCommon},
    // Before fusion: a dead user of an inner value would make its fusion impossible.
    Pass{"eliminate_dead", "nodes and weights without a user go", EliminateDead},
    Pass{"fuse_gate_up", "gate, up, activation and product become glu or expert_glu", FuseGateUp},
    // After all rewriting: the choice stands for the nodes that will run.
    Pass{"select_kernels", "the cheapest kernel that accepts a node is written into it",
         SelectKernels},
    // Last: needs the final nodes in their final order.
    Pass{"plan_memory", "every activation gets its place in the arena", PlanMemory},
};

}  // namespace

absl::Span<const Pass> Pipeline() { return kPipeline; }

const Pass* FindPass(absl::string_view name) {
  for (const Pass& pass : kPipeline) {
    if (pass.name == name) return &pass;
  }
  return nullptr;
}

absl::Status Optimize(const Backend& backend, const PassOptions& options, Graph* graph,
                      std::vector<PassReport>* report) {
  const CompileContext context{
      .caps = &backend.caps(), .kernels = backend.kernels(), .explain = {}};
  return RunPasses(kPipeline, context, options, graph, report);
}

}  // namespace sluice
