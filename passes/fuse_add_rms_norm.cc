// fuse_add_rms_norm: a residual addition and the normalisation of its sum become one node, which
// passes over the row once while it is in cache. The sum stays a result: the next residual needs
// it.
//
//   before   %r = add(%x, %o) : f32[tokens,64]
//            %n = rms_norm(%r, @w) {eps=1e-06} : f32[tokens,64]
//   after    %r, %n = add_rms_norm(%x, %o, @w) {eps=1e-06} : f32[tokens,64], f32[tokens,64]
//
// Not where the operands of the addition differ in shape, or where a use of the sum comes before
// the normalisation's weight is known.
#include "absl/strings/str_cat.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sluice {
namespace {

std::string RefuseBroadcast(const Match& match, const Graph&, const CompileContext&) {
  const Value* a = match.value("a");
  const Value* b = match.value("b");
  if (a->type() == b->type()) return "";
  return absl::StrCat(b->ref(), " is ", b->type().ToString(), " and would be broadcast to ",
                      a->type().ToString());
}

}  // namespace

absl::StatusOr<bool> FuseAddRmsNorm(Graph& graph, const CompileContext& context) {
  Rewrite fusion = FusionOf(*graph.registry().Find("add_rms_norm"));
  fusion.refuse = RefuseBroadcast;
  return ApplyRewrites(graph, context, {fusion}, "fuse_add_rms_norm");
}

}  // namespace sluice
