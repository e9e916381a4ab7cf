// fuse_qk_norm_rope: what happens to queries and keys between projection and attention becomes one
// node: the norm of each head, if the model has it, and the rotation, with one sine and cosine for
// both. Where nothing else reads the rotated keys, appending keys and values to the cache joins in:
// the keys then go from registers to the cache and never to memory of their own.
//
//   before   %qn = rms_norm(%q, @wq) {eps=1e-06}          if the model has it; likewise for k
//            %qr = rope(%qn, %positions) {...}            likewise for k
//            %kc, %vc = kv_append(%k_cache, %v_cache, %kr, %v, %slots)
//            %a = attention(%qr, %kc, %vc, ...)
//   after    %qr, %kc, %vc = qk_norm_rope_append(%k_cache, %v_cache, %q, %k, %v, %positions,
//                                                %slots, @wq, @wk) {...}
//            %a = attention(%qr, %kc, %vc, ...)
//
// Precondition: q and k meet in one attention, by way of one append. Not where the two differ in
// eps, in positions or in how they are rotated, or where another node reads what lies between.
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sluice {
namespace {

// Says which q belongs to which k.
constexpr char kMeeting[] =
    "%k_new, %v_new = kv_append(%k_cache, %v_cache, %k_out, %v, %slots)\n"
    "%a = attention(%q_out, %k_new, %v_new, %token_positions, %seq_ids, %tables, %lens) "
    "{scale=$attention_scale, causal=$causal, window=$window}\n";

}  // namespace

absl::StatusOr<bool> FuseQkNormRope(Graph& graph, const CompileContext& context) {
  const OpRegistry& ops = graph.registry();
  return ApplyRewrites(
      graph, context,
      {FusionOf(*ops.Find("qk_norm_rope"), kMeeting), FusionOf(*ops.Find("qk_norm_rope_append"))},
      "fuse_qk_norm_rope");
}

}  // namespace sluice
