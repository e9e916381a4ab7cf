// fuse_qkv: the three projections of an attention block, each reshaped to heads, become one node,
// so that the rows are read (and, by kernels that quantise them, quantised) once. The weights may
// differ in format.
//
//   before   %q2 = matmul(%x, @wq) : f32[tokens,512]      and likewise for k and v
//            %q = reshape(%q2) {shape=[tokens,8,64]} : f32[tokens,8,64]
//   after    %q, %k, %v = qkv_matmul(%x, @wq, @wk, @wv) {q_shape=[tokens,8,64], ...} : ...
//
// Not where a product has another user, or where a use of q comes before an operand of v.
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sluice {

absl::StatusOr<bool> FuseQkv(Graph& graph, const CompileContext& context) {
  return ApplyRewrites(graph, context, {FusionOf(*graph.registry().Find("qkv_matmul"))},
                       "fuse_qkv");
}

}  // namespace sluice
