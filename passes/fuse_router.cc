// fuse_router: the product that gives the logits of a router and the choice among them become one
// node, for targets that wait between kernels: the choice is too little work to wait for.
//
//   before   %lg = matmul(%x, @gate_inp) : f32[tokens,128]
//            %p, %id = topk_softmax(%lg) {k=8, renorm=true} : f32[tokens,8], i32[tokens,8]
//   after    %p, %id = router_topk(%x, @gate_inp) {k=8, renorm=true} : f32[tokens,8], i32[tokens,8]
//
// For few tokens only: for many, a matmul that reads the weight once for all of them is faster, and
// the wait is a small part of the step. Not where the target has no kernel for it, or the logits
// are used elsewhere.
#include "absl/strings/str_cat.h"
#include "passes/kernel_choice.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sluice {
namespace {

constexpr int64_t kMostTokens = 16;

std::string RefuseManyTokens(const Match& match, const Graph& graph,
                             const CompileContext& context) {
  const absl::StatusOr<int64_t> tokens = graph.Bounds().Evaluate(match.value("x")->type().shape[0]);
  if (!tokens.ok()) return std::string(tokens.status().message());
  if (*tokens > kMostTokens) {
    return absl::StrCat("with up to ", *tokens, " tokens, a matmul of all is faster; at most ",
                        kMostTokens, " pay");
  }
  return RefuseWithoutKernel("router_topk", match, context);
}

}  // namespace

absl::StatusOr<bool> FuseRouter(Graph& graph, const CompileContext& context) {
  Rewrite rewrite = FusionOf(*graph.registry().Find("router_topk"));
  rewrite.refuse = RefuseManyTokens;
  return ApplyRewrites(graph, context, {rewrite}, "fuse_router");
}

}  // namespace sluice
