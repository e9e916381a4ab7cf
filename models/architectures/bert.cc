// BERT (Devlin et al. 2018, arXiv:1810.04805) and sentence embedders of its shape (MiniLM, BGE, E5,
// GTE): norms come after attention and feed-forward, on the sum with the residual.
#include "models/architectures/architecture.h"
#include "models/architectures/decoder_blocks.h"

namespace sluice {
namespace {

Value* Layer(DecoderLayer& l, Value* x) {
  Value* r = l.Add("r", x, l.Attend(l.ProjectHeads(x)));
  Value* n = l.LayerNorm("n1", r, "attn_output_norm");
  Value* y = l.Add("y", n, l.GeluFeedForward(n));
  return l.LayerNorm("n2", y, "layer_output_norm");
}

}  // namespace

constinit const Architecture kBert = {.name = "bert", .layer = Layer, .is_encoder = true};

}  // namespace sluice
