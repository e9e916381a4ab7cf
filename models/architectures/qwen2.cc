// Qwen 1.5 and 2: biases on queries, keys and values.
#include "models/architectures/architecture.h"
#include "models/architectures/decoder_blocks.h"

namespace sluice {
namespace {

Value* Layer(DecoderLayer& l, Value* x) {
  AttentionHeads heads = l.ProjectHeads(l.Norm("n1", x, "attn_norm"));
  heads.q = l.Rope("qr", heads.q, RopeStyle::kNeox);
  heads.k = l.Rope("kr", heads.k, RopeStyle::kNeox);
  Value* r = l.Add("r", x, l.Attend(heads));
  return l.Add("y", r, l.FeedForward(l.Norm("n2", r, "ffn_norm")));
}

}  // namespace

constinit const Architecture kQwen2 = {.name = "qwen2", .layer = Layer};

}  // namespace sluice
