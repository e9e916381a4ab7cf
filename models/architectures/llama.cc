// Llama 1 to 3 and models of the same shape (Mistral, TinyLlama); with experts, Mixtral.
#include "models/architectures/architecture.h"
#include "models/architectures/decoder_blocks.h"

namespace sluice {
namespace {

Value* Layer(DecoderLayer& l, Value* x) {
  AttentionHeads heads = l.ProjectHeads(l.Norm("n1", x, "attn_norm"));
  heads.q = l.RopeWithDivisors("qr", heads.q, RopeStyle::kInterleaved);
  heads.k = l.RopeWithDivisors("kr", heads.k, RopeStyle::kInterleaved);
  Value* r = l.Add("r", x, l.Attend(heads));
  return l.Add("y", r, l.FeedForward(l.Norm("n2", r, "ffn_norm")));
}

}  // namespace

constinit const Architecture kLlama = {.name = "llama", .layer = Layer};

}  // namespace sluice
