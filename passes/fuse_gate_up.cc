// fuse_gate_up: the two projections of a gated feed-forward block, the activation of one and their
// product become one node, for a dense block and for experts. Gate and up may differ in format.
//
//   before   %g = matmul(%x, @gate) : f32[tokens,768]
//            %u = matmul(%x, @up) : f32[tokens,768]
//            %s = silu(%g) : f32[tokens,768]
//            %h = mul(%s, %u) : f32[tokens,768]
//   after    %h = glu(%x, @gate, @up) {act=silu} : f32[tokens,768] by(fuse_gate_up)
//
// Experts likewise: expert_matmul twice becomes expert_glu.
// Not where an inner value (%g, %u, %s) has a user outside or is an output of the graph.
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sluice {

absl::StatusOr<bool> FuseGateUp(Graph& graph, const CompileContext& context) {
  const OpRegistry& ops = graph.registry();
  return ApplyRewrites(graph, context,
                       {FusionOf(*ops.Find("glu")), FusionOf(*ops.Find("expert_glu"))},
                       "fuse_gate_up");
}

}  // namespace sluice
