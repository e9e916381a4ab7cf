#include "passes/pipeline.h"

#include <algorithm>
#include <array>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backends/compiled_rules.h"
#include "backends/placement.h"
#include "graph/device_split.h"
#include "graph/status_macros.h"
#include "passes/kernel_choice.h"
#include "passes/passes.h"

namespace sluice {
namespace {

constexpr std::array kPipeline = {
    // First: what adapters add is part of the model, and all that follows is for it, too.
    Pass{"add_lora", "what adapters change of weights is computed beside their products", AddLora},
    // Before all others, so that each of them needs one pattern and not one per spelling.
    Pass{"canonicalise", "one spelling for everything that can be written in several ways",
         Canonicalise},
    // Before anything is compared or fused: what is known already needs neither.
    Pass{"fold_constants", "what depends on weights alone runs once, when the graph is loaded",
         FoldConstants},
    // Before fusion: a value computed twice would look like two, and a fusion of one copy would
    // hide that the other is the same.
    Pass{"eliminate_common", "equal nodes become one", EliminateCommon},
    // Before fusion: a dead user of an inner value would make its fusion impossible.
    Pass{"eliminate_dead", "nodes and weights without a user go", EliminateDead},
    Pass{"fuse_gate_up", "gate, up, activation and product become glu or expert_glu", FuseGateUp},
    Pass{"fuse_qkv", "the projections to queries, keys and values become qkv_matmul", FuseQkv},
    Pass{"fuse_qk_norm_rope", "norms and rotation of q and k, and the append to the cache, join",
         FuseQkNormRope},
    // Before fuse_add_rms_norm, which would take the addition of the residual: as part of the sum
    // it costs no pass over memory at all.
    Pass{"fuse_scaled_add", "the residual joins the weighted sum of the experts", FuseScaledAdd},
    Pass{"fuse_add_rms_norm", "a residual addition and the norm of its sum join", FuseAddRmsNorm},
    // After the fusions, which are the same for all devices, and before specialise: weights
    // and states must be in one place for steps of every size.
    Pass{"place", "every node gets a device, and copies bring values from one to another", Place},
    // Between what is the same for every size of step and what is not: the passes above run once,
    // those below once per bucket.
    Pass{"specialise", "the graph becomes one for steps of a certain size", Specialise},
    // After specialise: it pays for few tokens. After the fusions: its pattern has their results.
    Pass{"absorb_moe_gather", "for few tokens, experts are reached token by token",
         AbsorbMoeGather},
    // After absorb_moe_gather, which makes the product that it takes.
    Pass{"fuse_expert_sum", "the weighted sum of the experts joins their last product",
         FuseExpertSum},
    // After specialise: it pays for few tokens.
    Pass{"fuse_router", "the logits of a router and the choice among them join", FuseRouter},
    // After the fusions and whatever else makes fused ops; before select_kernels, which would find
    // no kernel for them.
    Pass{"expand_fused", "fused ops without a kernel become what they stand for", ExpandFused},
    // After all rewriting: the choice stands for the nodes that will run.
    Pass{"select_kernels", "the cheapest kernel that accepts a node is written into it",
         SelectKernels, Stage::kNodes, Stage::kKernels},
    // After select_kernels, whose choice is what a layout has to beat.
    Pass{"prepack_weights", "weights get layouts that kernels read faster, within a budget",
         PrepackWeights, Stage::kKernels, Stage::kKernels},
    // After the last pass that chooses kernels, which are what asks for them.
    Pass{"derive_operands", "nodes get operands that their kernels need in a form of their own",
         DeriveOperands, Stage::kKernels, Stage::kKernels},
    // Last: needs the final nodes in their final order, and what their kernels need.
    Pass{"plan_memory", "every activation and scratch memory gets its place in the arena",
         PlanMemory, Stage::kKernels, Stage::kPlaces},
};

// Rules without a node that they fit.
std::vector<const PlaceRule*> IdleRules(const CompileContext& context, const Graph& graph) {
  std::vector<const PlaceRule*> idle;
  if (context.placement == nullptr) return idle;
  for (const PlaceRule& rule : context.placement->rules) {
    const auto fits = [&](const auto& node) { return Fits(rule, *node); };
    if (std::none_of(graph.nodes().begin(), graph.nodes().end(), fits)) idle.push_back(&rule);
  }
  return idle;
}

}  // namespace

absl::Span<const Pass> Pipeline() { return kPipeline; }

const Pass* FindPass(absl::string_view name) {
  for (const Pass& pass : kPipeline) {
    if (pass.name == name) return &pass;
  }
  return nullptr;
}

CompileContext ContextOf(const Backend& backend) {
  return {.caps = &backend.caps(), .kernels = backend.kernels(), .placement = backend.placement()};
}

absl::Status VerifyPlan(const Backend& backend, const Graph& graph) {
  const CompileContext context = ContextOf(backend);
  if (context.kernels == nullptr) return absl::OkStatus();
  if (context.placement == nullptr) return VerifyCompiled(graph, *context.kernels, *context.caps);
  SLUICE_ASSIGN_OR_RETURN(const DeviceSplit split, SplitByDevice(graph));
  for (const DeviceGraph& part : split.graphs) {
    const Target target = TargetOf(part.device, context);
    if (target.kernels == nullptr) continue;
    SLUICE_RETURN_IF_ERROR(VerifyCompiled(part.graph, *target.kernels, *target.caps));
  }
  return absl::OkStatus();
}

absl::Status Optimize(const Backend& backend, const PassOptions& options, Graph* graph,
                      std::vector<PassReport>* report) {
  std::vector<PassReport> own;
  if (report == nullptr) report = &own;
  const size_t before = report->size();
  const CompileContext context = ContextOf(backend);
  std::vector<const PlaceRule*> idle;
  if (options.start_at.empty()) idle = IdleRules(context, *graph);
  SLUICE_RETURN_IF_ERROR(RunPasses(kPipeline, context, options, graph, report));
  // Fusion takes names away, and makes some.
  const std::vector<const PlaceRule*> still_idle = IdleRules(context, *graph);
  for (const PlaceRule* rule : idle) {
    if (std::count(still_idle.begin(), still_idle.end(), rule) == 0) continue;
    return absl::InvalidArgumentError(absl::StrCat("--place ", rule->pattern, "=", rule->device,
                                                   ": no node, and no weight that one reads, has ",
                                                   "a name with a match of '", rule->pattern,
                                                   "' in it; `sluice dump` prints the names"));
  }
  // Unless the pipeline was cut short, in which case nobody will run the graph.
  const bool is_planned = report->size() > before && report->back().name == kPipeline.back().name;
  return options.verify && is_planned ? VerifyPlan(backend, *graph) : absl::OkStatus();
}

}  // namespace sluice
