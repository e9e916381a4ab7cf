#include "tests/support/graph_idioms.h"

#include <utility>

#include "graph/decoder_interface.h"

namespace sluice {
namespace {

using Composer = GraphComposer;

TensorType Floats(Shape shape) { return {DType::kF32, std::move(shape)}; }

Value* Norm(Composer& c, absl::string_view name, Value* x) {
  const Dim width = x->type().shape.back();
  Value* weight = c.Chance(80) ? c.Weight(absl::StrCat(name, ".w"), Floats({width})) : nullptr;
  return c.Op(name, "rms_norm", {x, weight}, {{"eps", c.Rarely() ? 0.125 : 1e-6}});
}

// A product with a weight; its bias, if any, as an operand or as a node of its own.
Value* Linear(Composer& c, absl::string_view name, Value* x, int64_t out) {
  const int64_t in = x->type().shape.back().factor();
  Value* weight = c.Weight(absl::StrCat(name, ".w"), {c.Format(in), {out, in}});
  if (!c.Chance(25)) return c.Op(name, "matmul", {x, weight});
  Value* bias = c.Weight(absl::StrCat(name, ".b"), Floats({out}));
  if (c.Chance(60)) return c.Op(name, "matmul", {x, weight, bias});
  return c.Op(name, "add", {c.Inner(c.Op(absl::StrCat(name, ".p"), "matmul", {x, weight})), bias});
}

// act(gate) * up. The exact gelu is no activation that fused ops know.
Value* Gated(Composer& c, Value* gate, Value* up) {
  const bool is_silu = c.Chance(70);
  Attributes attrs;
  if (!is_silu && c.Chance(30)) attrs.Set("approximate", "none");
  Value* active = c.Inner(c.Op("s", is_silu ? "silu" : "gelu", {c.Inner(gate)}, std::move(attrs)));
  return c.EitherWay("h", "mul", active, c.Inner(up));
}

Value* Reshape(Composer& c, absl::string_view name, Value* x, Shape shape) {
  return c.Op(name, "reshape", {x}, {{"shape", std::move(shape)}});
}

// --- Attention ------------------------------------------------------------------------------

struct AttentionShape {
  int64_t heads, kv_heads, width, block_size;
};

Attributes RopeAttributes(Composer& c, int64_t width) {
  Attributes attrs = {{"dims", c.Chance(80) ? width : width / 2},
                      {"style", c.Chance(70) ? "neox" : "interleaved"}};
  if (c.Chance(20)) attrs.Set("base", 500.0);
  if (c.Chance(15)) {
    attrs.Set("scaling", "linear");
    attrs.Set("factor", 2.0);
  }
  return attrs;
}

// Projection to heads, then a norm and a rotation where asked for.
Value* Heads(Composer& c, const std::string& name, Value* x, int64_t heads, int64_t width) {
  Value* flat = c.Inner(Linear(c, name, x, heads * width));
  return c.Inner(Reshape(c, name + "h", flat, {c.tokens(), heads, width}));
}

std::pair<Value*, Value*> Caches(Composer& c, const AttentionShape& shape) {
  const Shape dims = {Dim::Symbol(decoder::kBlocks), shape.kv_heads, shape.block_size, shape.width};
  const auto dtype = [&] {
    if (shape.width % 32 == 0 && c.Chance(20)) return DType::kQ8_0;
    return c.Pick({DType::kF16, DType::kF16, DType::kF32, DType::kBF16});
  };
  Value* k = c.State("k_cache", {dtype(), dims});
  return {k, c.State("v_cache", {dtype(), dims})};
}

Value* Attend(Composer& c, Value* q, Value* k, Value* v, const AttentionShape& shape) {
  const auto [k_cache, v_cache] = Caches(c, shape);
  Value* slots = c.Shared(decoder::kSlots, {c.tokens()});
  const std::vector<Value*> caches =
      c.Ops({"kc", "vc"}, "kv_append", {k_cache, v_cache, k, v, slots});
  Attributes attrs = {{"scale", 0.25}};
  if (c.Rarely()) attrs.Set("window", int64_t{5});
  return c.Op(
      "a", "attention",
      {q, caches[0], caches[1], c.Shared(decoder::kPositions, {c.tokens()}),
       c.Shared(decoder::kSeqIds, {c.tokens()}),
       c.Shared(decoder::kBlockTables, {Dim::Symbol(decoder::kSeqs), Dim::Symbol(decoder::kTable)}),
       c.Shared(decoder::kContextLens, {Dim::Symbol(decoder::kSeqs)})},
      std::move(attrs));
}

}  // namespace

Value* AttentionBlock(Composer& c, Value* x) {
  const int64_t kv_heads = 1 + c.Below(2);
  const AttentionShape shape = {kv_heads * (1 + c.Below(2)), kv_heads, c.Pick<int64_t>({8, 16}),
                                c.Pick<int64_t>({4, 8})};
  Value* positions = c.Shared(decoder::kPositions, {c.tokens()});
  const auto input = [&] { return c.Rarely() ? c.OtherLike(x) : x; };
  Value* q = Heads(c, "q", input(), shape.heads, shape.width);
  Value* k = Heads(c, "k", input(), shape.kv_heads, shape.width);
  Value* v = Heads(c, "v", input(), shape.kv_heads, shape.width);
  if (c.Chance(50)) {
    q = c.Inner(Norm(c, "qn", q));
    if (!c.Rarely()) k = c.Inner(Norm(c, "kn", k));
  }
  if (c.Chance(85)) {
    const Attributes attrs = RopeAttributes(c, shape.width);
    Value* factors = nullptr;
    if (c.Chance(15)) {
      factors = c.Weight("rope_freqs", Floats({std::get<int64_t>(*attrs.Find("dims")) / 2}));
    }
    Value* other = c.Rarely() ? c.Input("other_positions", {DType::kI32, {c.tokens()}}) : positions;
    q = c.Inner(c.Op("qr", "rope", {q, positions, factors}, attrs));
    Attributes k_attrs = c.Rarely() ? RopeAttributes(c, shape.width) : attrs;
    k_attrs.Set("dims", *attrs.Find("dims"));  // q and k have the same factors
    k = c.Inner(c.Op("kr", "rope", {k, other, factors}, std::move(k_attrs)));
  }
  Value* a = c.Inner(Attend(c, q, k, v, shape));
  return Linear(c, "o", Reshape(c, "am", a, {c.tokens(), shape.heads * shape.width}), c.hidden());
}

Value* FeedForwardBlock(Composer& c, Value* x) {
  const int64_t width = c.Width();
  Value* gate = Linear(c, "g", x, width);
  Value* up = Linear(c, "u", c.Rarely() ? c.OtherLike(x) : x, width);
  return Linear(c, "d", Gated(c, gate, up), c.hidden());
}

// --- Experts --------------------------------------------------------------------------------

namespace {

Value* ExpertLinear(Composer& c, absl::string_view name, Value* rows, Value* offsets, int64_t out) {
  const int64_t in = rows->type().shape.back().factor();
  const int64_t experts = offsets->type().shape[0].factor() - 1;
  Value* weight = c.Weight(absl::StrCat(name, ".w"), {c.Format(in), {experts, out, in}});
  Value* bias = nullptr;
  if (c.Chance(10)) bias = c.Weight(absl::StrCat(name, ".b"), Floats({experts, out}));
  return c.Op(name, "expert_matmul", {rows, weight, offsets, bias});
}

std::vector<Value*> Route(Composer& c, Value* x, int64_t experts) {
  Value* logits = c.Inner(Linear(c, "lg", x, experts));
  Attributes attrs = {{"k", 1 + c.Below(3)}, {"renorm", c.Chance(70)}};
  if (c.Chance(20)) attrs.Set("gating", "sigmoid");
  if (c.Chance(20)) attrs.Set("scale", 1.5);
  Value* bias = c.Chance(15) ? c.Weight("lg.choice", Floats({experts})) : nullptr;
  return c.Ops({"p", "id"}, "topk_softmax", {logits, bias}, std::move(attrs));
}

}  // namespace

Value* ExpertBlock(Composer& c, Value* x) {
  const int64_t experts = 4 + c.Below(5), width = c.Width();
  const std::vector<Value*> routed = Route(c, x, experts);
  const std::vector<Value*> plan = c.Ops({"rows", "row_of", "offsets"}, "moe_gather",
                                         {x, c.Inner(routed[1])}, {{"experts", experts}});
  Value *rows = plan[0], *row_of = c.Inner(plan[1]), *offsets = c.Inner(plan[2]);
  Value* h = nullptr;
  if (c.Chance(80)) {
    Value* gate = ExpertLinear(c, "g", c.Inner(rows), offsets, width);
    h = Gated(c, gate, ExpertLinear(c, "u", c.Rarely() ? c.OtherLike(rows) : rows, offsets, width));
  } else {
    h = c.Op("h", "silu", {ExpertLinear(c, "u", rows, offsets, width)});
  }
  Value* down = c.Inner(ExpertLinear(c, "d", h, offsets, c.hidden()));
  Value* residual = c.Rarely() ? c.OtherLike(x) : nullptr;
  return c.Op("m", "scaled_add", {down, c.Inner(routed[0]), row_of, residual});
}

// --- Smaller ones ---------------------------------------------------------------------------

namespace {

Value* Scales(Composer& c, Value* x) {
  for (int64_t n = 1 + c.Below(3); n > 0; --n) {
    x = c.Inner(c.Op("scaled", "scale", {x}, {{"factor", c.Pick({1.0, 0.5, 0.75, -1.25})}}));
  }
  return x;
}

Value* Casts(Composer& c, Value* x) {
  Value* narrow = c.Op("narrow", "cast", {x}, {{"to", c.Pick({"f32", "f16", "bf16"})}});
  return c.Op("wide", "cast", {c.Inner(narrow)}, {{"to", "f32"}});
}

Value* Shapes(Composer& c, Value* x) {
  const Shape shape = x->type().shape;
  Value* heads = Reshape(c, "split", x, {shape[0], shape[1].factor() / 8, 8});
  if (c.Chance(50)) heads = c.Inner(c.Op("inside", "silu", {heads}));
  return Reshape(c, "whole", c.Inner(heads), shape);
}

Value* Parts(Composer& c, Value* x) {
  const int64_t width = x->type().shape[1].factor(), cut = c.Pick<int64_t>({8, width / 2, width});
  const auto part = [&](int64_t begin, int64_t end) {
    return c.Op("part", "slice", {x}, {{"axis", int64_t{1}}, {"begin", begin}, {"end", end}});
  };
  std::vector<Value*> parts = {c.Inner(part(0, cut))};
  if (cut < width) parts.push_back(part(cut, width));
  if (c.Rarely() && parts.size() == 2 && cut * 2 == width) std::swap(parts[0], parts[1]);
  return c.Op("joined", "concat", std::move(parts), {{"axis", int64_t{1}}});
}

Value* Embedding(Composer& c) {
  Value* table = c.Weight("token_embd", {c.Format(c.hidden()), {10, c.hidden()}});
  return c.Op("x", "embedding", {table, c.Shared(decoder::kTokenIds, {c.tokens()})});
}

void LastRows(Composer& c, Value* x) {
  Value* wanted = c.Shared(decoder::kOutputRows, {Dim::Symbol(decoder::kOutputs)});
  Linear(c, "logits", Norm(c, "norm", c.Op("rows", "gather_rows", {x, wanted})), 12);
}

// f32[hidden], from weights alone.
Value* Constant(Composer& c) {
  Value* weight = c.Weight("constant", Floats({c.hidden()}));
  Value* scaled = c.Op("constant.s", "scale", {weight}, {{"factor", 0.5}});
  if (c.Chance(50)) scaled = c.Inner(c.Op("constant.n", "softmax", {scaled}));
  return c.Chance(50) ? scaled : c.EitherWay("constant.a", "add", scaled, weight);
}

}  // namespace

Value* Chain(Composer& c, Value* x) { return c.Pick({Scales, Casts, Shapes, Parts})(c, x); }

Value* Side(Composer& c, Value* x) {
  switch (c.Below(3)) {
    case 0:
      return c.EitherWay("with", "add", x, Embedding(c));
    case 1:
      LastRows(c, x);
      return x;
    default:
      return c.Op("shifted", c.Chance(50) ? "add" : "mul", {x, Constant(c)});
  }
}

Value* Residual(Composer& c, Value* x, Idiom block) {
  Value* y = c.Inner(block(c, c.Chance(90) ? Norm(c, "n", x) : x));
  return c.Inner(c.EitherWay("r", "add", x, y));
}

}  // namespace sluice
