#include "tests/support/op_cases.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "graph/formats/dequantize.h"

namespace sluice {
namespace {

using absl::StrCat;
using absl::Substitute;

// Row counts on both sides of the sizes at which kernels change: one token, a few, many.
constexpr int kTokenCounts[] = {1, 2, 7, 33};

// A graph of one node on f32 inputs and i32 indices.
std::string GraphText(int tokens, absl::string_view sources, absl::string_view nodes,
                      absl::string_view outputs) {
  return StrCat("graph case\nsymbol tokens <= ", tokens, "\n", sources, nodes, outputs);
}

void AddLinear(std::vector<OpCase>* cases) {
  for (const DTypeInfo& info : AllDTypes()) {
    if (!CanDequantize(info.dtype)) continue;
    for (int tokens : kTokenCounts) {
      cases->push_back({StrCat("matmul/", info.name, "/", tokens),
                        GraphText(tokens,
                                  Substitute("input %x : f32[tokens,512]\n"
                                             "weight @w : $0[96,512]\nweight @b : f32[96]\n",
                                             info.name),
                                  "%y = matmul(%x, @w, @b) : f32[tokens,96]\n", "output %y\n"),
                        {}});
    }
    cases->push_back(
        {StrCat("embedding/", info.name),
         GraphText(9, Substitute("input %ids : i32[tokens]\nweight @w : $0[40,256]\n", info.name),
                   "%y = embedding(@w, %ids) : f32[tokens,256]\n", "output %y\n"),
         {{"ids", {0, 39}}}});
  }
  for (const char* act : {"silu", "gelu"}) {
    for (int tokens : kTokenCounts) {
      cases->push_back(
          {Substitute("glu/$0/$1", act, tokens),
           GraphText(
               tokens,
               "input %x : f32[tokens,256]\nweight @gate : q4_k[80,256]\n"
               "weight @up : q8_0[80,256]\nweight @bg : f32[80]\nweight @bu : f32[80]\n",
               Substitute("%y = glu(%x, @gate, @up, @bg, @bu) {act=$0} : f32[tokens,80]\n", act),
               "output %y\n"),
           {}});
    }
  }
}

void AddMoe(std::vector<OpCase>* cases) {
  for (const char* gating : {"softmax", "sigmoid"}) {
    cases->push_back(
        {Substitute("topk_softmax/$0", gating),
         GraphText(17, "input %lg : f32[tokens,16]\n",
                   Substitute("%p, %id = topk_softmax(%lg) {$0k=4, renorm=true} : "
                              "f32[tokens,4], i32[tokens,4]\n",
                              gating == std::string("softmax") ? "" : "gating=sigmoid, "),
                   "output %p\noutput %id\n"),
         {}});
  }
  cases->push_back(
      {"topk_softmax/bias_scale",
       GraphText(
           5, "input %lg : f32[tokens,8]\nweight @b : f32[8]\n",
           "%p, %id = topk_softmax(%lg, @b) {k=3, scale=2.5} : f32[tokens,3], i32[tokens,3]\n",
           "output %p\noutput %id\n"),
       {}});
  // Routing of one block, from ids to the sum over experts, with each expert op in between.
  for (const char* format : {"f32", "f16", "q8_0", "q4_k"}) {
    for (int tokens : kTokenCounts) {
      cases->push_back(
          {Substitute("experts/$0/$1", format, tokens),
           GraphText(tokens,
                     Substitute("input %x : f32[tokens,256]\ninput %id : i32[tokens,2]\n"
                                "input %p : f32[tokens,2]\nweight @gate : $0[8,256,256]\n"
                                "weight @up : $0[8,256,256]\nweight @down : $0[8,64,256]\n"
                                "weight @bias : f32[8,64]\ninput %r : f32[tokens,64]\n",
                                format),
                     "%rows, %row_of, %offsets = moe_gather(%x, %id) {experts=8} : "
                     "f32[tokens*2,256], i32[tokens,2], i32[9]\n"
                     "%h = expert_glu(%rows, @gate, @up, %offsets) {act=silu} : f32[tokens*2,256]\n"
                     "%d = expert_matmul(%h, @down, %offsets, @bias) : f32[tokens*2,64]\n"
                     "%y = scaled_add(%d, %p, %row_of, %r) : f32[tokens,64]\n"
                     "%z = scaled_add(%d, %p, %row_of) : f32[tokens,64]\n",
                     "output %y\noutput %z\noutput %row_of\n"),
           {{"id", {0, 7}}}});
    }
  }
}

void AddNormRope(std::vector<OpCase>* cases) {
  cases->push_back(
      {"rms_norm/weight",
       GraphText(5, "input %x : f32[tokens,130]\nweight @w : f32[130]\n",
                 "%y = rms_norm(%x, @w) {eps=1e-05} : f32[tokens,130]\n", "output %y\n"),
       {}});
  cases->push_back({"rms_norm/heads",
                    GraphText(5, "input %x : f32[tokens,3,64]\n",
                              "%y = rms_norm(%x) {eps=1e-06} : f32[tokens,3,64]\n", "output %y\n"),
                    {}});
  const struct {
    const char* name;
    const char* attrs;
  } kRopes[] = {
      {"interleaved", "dims=64, style=interleaved"},
      {"neox", "dims=64, style=neox"},
      {"neox_partial", "dims=32, style=neox"},
      {"interleaved_partial", "dims=32, style=interleaved"},
      {"linear", "base=1e+06, dims=64, factor=4.0, scaling=linear, style=neox"},
      {"yarn", "dims=64, factor=4.0, original_context=64, scaling=yarn, style=interleaved"},
  };
  for (const auto& rope : kRopes) {
    cases->push_back(
        {StrCat("rope/", rope.name),
         GraphText(11, "input %x : f32[tokens,3,64]\ninput %pos : i32[tokens]\n",
                   Substitute("%y = rope(%x, %pos) {$0} : f32[tokens,3,64]\n", rope.attrs),
                   "output %y\n"),
         {{"pos", {0, 500}}}});
  }
  cases->push_back(
      {"rope/freq_factors",
       GraphText(11, "input %x : f32[tokens,3,64]\ninput %pos : i32[tokens]\ninput %f : f32[32]\n",
                 "%p = softmax(%f) : f32[32]\n"  // factors are positive
                 "%g = scale(%p) {factor=32.0} : f32[32]\n"
                 "%y = rope(%x, %pos, %g) {dims=64, style=neox} : f32[tokens,3,64]\n",
                 "output %y\n"),
       {{"pos", {0, 30}}}});  // a rounding of a factor is multiplied by the position
}

void AddAttention(std::vector<OpCase>* cases) {
  const struct {
    const char* name;
    const char* cache;
    const char* attrs;
    int heads;
  } kVariants[] = {
      {"f32", "f32", "scale=0.125", 4},
      {"f16", "f16", "scale=0.125", 4},
      {"f16_mha", "f16", "scale=0.125", 2},
      {"f16_window", "f16", "scale=0.125, window=9", 4},
      {"f16_full", "f16", "causal=false, scale=0.125", 4},
  };
  for (const auto& v : kVariants) {
    for (int tokens : kTokenCounts) {
      cases->push_back(
          {Substitute("attention/$0/$1", v.name, tokens),
           GraphText(tokens,
                     Substitute("symbol seqs <= 3\nsymbol table <= 4\n"
                                "input %q : f32[tokens,$0,64]\ninput %k : f32[1,2,64]\n"
                                "input %v : f32[1,2,64]\ninput %slot : i32[1]\n"
                                "input %pos : i32[tokens]\ninput %seq : i32[tokens]\n"
                                "input %tables : i32[seqs,table]\ninput %lens : i32[seqs]\n"
                                "state %kc : state<$1[6,2,16,64]>\n"
                                "state %vc : state<$1[6,2,16,64]>\n",
                                v.heads, v.cache),
                     Substitute("%kc1, %vc1 = kv_append(%kc, %vc, %k, %v, %slot) : "
                                "state<$0[6,2,16,64]>, state<$0[6,2,16,64]>\n"
                                "%y = attention(%q, %kc1, %vc1, %pos, %seq, %tables, %lens) {$1} : "
                                "f32[tokens,$2,64]\n",
                                v.cache, v.attrs, v.heads),
                     "output %y\n"),
           {{"slot", {7, 7}},
            {"pos", {20, 60}},
            {"seq", {0, 2}},
            {"tables", {0, 5}},
            {"lens", {40, 64}}}});
    }
  }
}

void AddElementwise(std::vector<OpCase>* cases) {
  for (const char* op : {"add", "mul"}) {
    cases->push_back({StrCat(op, "/same"),
                      GraphText(33, "input %a : f32[tokens,300]\ninput %b : f32[tokens,300]\n",
                                StrCat("%y = ", op, "(%a, %b) : f32[tokens,300]\n"), "output %y\n"),
                      {}});
    cases->push_back(
        {StrCat(op, "/broadcast"),
         GraphText(33, "input %a : f32[tokens,3,100]\ninput %b : f32[3,100]\n",
                   StrCat("%y = ", op, "(%a, %b) : f32[tokens,3,100]\n"), "output %y\n"),
         {}});
  }
  const struct {
    const char* name;
    const char* call;
  } kUnary[] = {{"silu", "silu(%x)"},
                {"gelu/tanh", "gelu(%x)"},
                {"gelu/exact", "gelu(%x) {approximate=none}"},
                {"softmax", "softmax(%x)"},
                {"scale", "scale(%x) {factor=-0.75}"}};
  for (const auto& unary : kUnary) {
    cases->push_back({unary.name,
                      GraphText(33, "input %x : f32[tokens,300]\n",
                                StrCat("%y = ", unary.call, " : f32[tokens,300]\n"), "output %y\n"),
                      {}});
  }
}

void AddLayout(std::vector<OpCase>* cases) {
  cases->push_back({"gather_rows",
                    GraphText(9, "input %x : f32[tokens,50]\ninput %rows : i32[4]\n",
                              "%y = gather_rows(%x, %rows) : f32[4,50]\n", "output %y\n"),
                    {{"rows", {0, 8}}}});
  cases->push_back(
      {"slice/columns",
       GraphText(9, "input %x : f32[tokens,50]\n",
                 "%y = slice(%x) {axis=1, begin=7, end=31} : f32[tokens,24]\n", "output %y\n"),
       {}});
  cases->push_back(
      {"slice/middle",
       GraphText(9, "input %x : f32[tokens,6,10]\n",
                 "%y = slice(%x) {axis=1, begin=2, end=5} : f32[tokens,3,10]\n", "output %y\n"),
       {}});
  cases->push_back(
      {"concat",
       GraphText(9, "input %a : f32[tokens,3,10]\ninput %b : f32[tokens,4,10]\n",
                 "%y = concat(%a, %b, %a) {axis=1} : f32[tokens,10,10]\n", "output %y\n"),
       {}});
  cases->push_back({"reshape",
                    GraphText(9, "input %x : f32[tokens,48]\n",
                              "%s = silu(%x) : f32[tokens,48]\n"
                              "%y = reshape(%s) {shape=[tokens,4,12]} : f32[tokens,4,12]\n"
                              "%z = reshape(%x) {shape=[tokens*48]} : f32[tokens*48]\n",
                              "output %y\noutput %z\n"),
                    {}});
  for (const char* to : {"f16", "bf16", "i32"}) {
    cases->push_back({StrCat("cast/", to),
                      GraphText(9, "input %x : f32[tokens,50]\n",
                                Substitute("%h = scale(%x) {factor=100.0} : f32[tokens,50]\n"
                                           "%c = cast(%h) {to=$0} : $0[tokens,50]\n"
                                           "%y = cast(%c) {to=f32} : f32[tokens,50]\n",
                                           to),
                                "output %y\n"),
                      {}});
  }
}

}  // namespace

std::vector<OpCase> AllOpCases() {
  std::vector<OpCase> cases;
  AddLinear(&cases);
  AddMoe(&cases);
  AddNormRope(&cases);
  AddAttention(&cases);
  AddElementwise(&cases);
  AddLayout(&cases);
  return cases;
}

}  // namespace sluice
