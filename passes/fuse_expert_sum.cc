// fuse_expert_sum: the last product of a token's experts and the weighted sum of what they give
// become one node: what each expert gives is never written.
//
//   before   %d = indexed_expert_matmul(%h, @down, %ids) : f32[tokens*8,2048]
//            %y = scaled_add(%d, %p, _, %r) : f32[tokens,2048]
//   after    %y = indexed_expert_sum(%h, @down, %ids, %p, %r) : f32[tokens,2048]
//
// Not where the target has no kernel for it, or what an expert gives is used elsewhere. Grouped
// experts stay as they are: what belongs to one token is computed all over the device there.
#include "passes/kernel_choice.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sluice {

absl::StatusOr<bool> FuseExpertSum(Graph& graph, const CompileContext& context) {
  Rewrite rewrite = FusionOf(*graph.registry().Find("indexed_expert_sum"));
  rewrite.refuse = [](const Match& match, const Graph&, const CompileContext& target) {
    return RefuseWithoutKernel("indexed_expert_sum", match, target);
  };
  return ApplyRewrites(graph, context, {rewrite}, "fuse_expert_sum");
}

}  // namespace sluice
