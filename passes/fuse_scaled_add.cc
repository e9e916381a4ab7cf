// fuse_scaled_add: the residual joins the weighted sum of what a token's experts gave: weights, sum
// over the experts and residual in one pass over the rows.
//
//   before   %m = scaled_add(%d, %p, %row_of) : f32[tokens,64]
//            %y = add(%r, %m) : f32[tokens,64]
//   after    %y = scaled_add(%d, %p, %row_of, %r) : f32[tokens,64]
//
// Not where the sum without the residual is used elsewhere, or has one already.
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sluice {

absl::StatusOr<bool> FuseScaledAdd(Graph& graph, const CompileContext& context) {
  const Rewrite rewrite = {.before =
                               "%m = scaled_add(%d, %p, %row_of?)\n"
                               "%y = add(%r, %m)",
                           .after = "%y = scaled_add(%d, %p, %row_of?, %r)"};
  return ApplyRewrites(graph, context, {rewrite}, "fuse_scaled_add");
}

}  // namespace sluice
