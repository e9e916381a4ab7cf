// Qwen 3: every head of queries and keys is normalised before it is rotated.
#include "models/architectures/architecture.h"
#include "models/architectures/decoder_blocks.h"

namespace sluice {
namespace {

Value* Layer(DecoderLayer& l, Value* x) {
  AttentionHeads heads = l.ProjectHeads(l.Norm("n1", x, "attn_norm"));
  heads.q = l.Rope("qr", l.HeadNorm("qn", heads.q, "attn_q_norm"), RopeStyle::kNeox);
  heads.k = l.Rope("kr", l.HeadNorm("kn", heads.k, "attn_k_norm"), RopeStyle::kNeox);
  Value* r = l.Add("r", x, l.Attend(heads));
  return l.Add("y", r, l.FeedForward(l.Norm("n2", r, "ffn_norm")));
}

}  // namespace

constinit const Architecture kQwen3 = {.name = "qwen3", .layer = Layer};

}  // namespace sluice
