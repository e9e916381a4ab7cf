#include "tests/support/op_cases.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/substitute.h"
#include "graph/formats/dequantize.h"
#include "graph/status_macros.h"
#include "graph/text.h"
#include "passes/pipeline.h"

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

void AddQkv(std::vector<OpCase>* cases) {
  const struct {
    const char* name;
    const char* formats[3];
    const char* biases;
  } kProjections[] = {
      {"plain", {"q4_k", "q4_k", "q6_k"}, ""},
      {"biases", {"f16", "q8_0", "f32"}, ", @bq, @bk, @bv"},
      {"one_bias", {"bf16", "bf16", "bf16"}, ", _, @bk"},
  };
  for (const auto& p : kProjections) {
    for (int tokens : kTokenCounts) {
      cases->push_back(
          {Substitute("qkv_matmul/$0/$1", p.name, tokens),
           GraphText(tokens,
                     Substitute("input %x : f32[tokens,256]\nweight @wq : $0[192,256]\n"
                                "weight @wk : $1[64,256]\nweight @wv : $2[96,256]\n"
                                "weight @bq : f32[192]\nweight @bk : f32[64]\n"
                                "weight @bv : f32[96]\n",
                                p.formats[0], p.formats[1], p.formats[2]),
                     Substitute("%q, %k, %v = qkv_matmul(%x, @wq, @wk, @wv$0) "
                                "{k_shape=[tokens,1,64], q_shape=[tokens,3,64], "
                                "v_shape=[tokens,2,48]} : "
                                "f32[tokens,3,64], f32[tokens,1,64], f32[tokens,2,48]\n",
                                p.biases),
                     "output %q\noutput %k\noutput %v\n"),
           {}});
    }
  }
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
  AddQkv(cases);
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

// The experts of AddMoe without grouping. With one for all slots, ids repeat within a token, too.
void AddIndexedExperts(std::vector<OpCase>* cases) {
  const struct {
    const char* format;
    const char* act;
    int64_t last_id;
  } kVariants[] = {{"f32", "silu", 7},
                   {"f16", "gelu", 0},
                   {"q8_0", "silu", 7},
                   {"q4_k", "silu", 7},
                   {"mxfp4", "silu", 7}};
  for (const auto& v : kVariants) {
    for (int tokens : kTokenCounts) {
      cases->push_back(
          {Substitute("indexed_experts/$0/$1", v.format, tokens),
           GraphText(tokens,
                     Substitute("input %x : f32[tokens,256]\ninput %id : i32[tokens,3]\n"
                                "input %p : f32[tokens,3]\nweight @gate : $0[8,256,256]\n"
                                "weight @up : q8_0[8,256,256]\nweight @down : $0[8,64,256]\n"
                                "weight @bias : f32[8,64]\ninput %r : f32[tokens,64]\n",
                                v.format),
                     Substitute("%h = indexed_expert_glu(%x, @gate, @up, %id) {act=$0} : "
                                "f32[tokens*3,256]\n"
                                "%d = indexed_expert_matmul(%h, @down, %id, @bias) : "
                                "f32[tokens*3,64]\n"
                                "%e = indexed_expert_matmul(%x, @down, %id) : f32[tokens*3,64]\n"
                                "%y = scaled_add(%d, %p, _, %r) : f32[tokens,64]\n"
                                "%z = scaled_add(%e, %p) : f32[tokens,64]\n",
                                v.act),
                     "output %y\noutput %z\n"),
           {{"id", {0, v.last_id}}}});
    }
  }
}

// A router as a whole: experts that fill workgroups and such that do not, with and without biases.
void AddRouters(std::vector<OpCase>* cases) {
  for (const char* format : {"f32", "f16", "q4_k", "mxfp4"}) {
    for (int tokens : kTokenCounts) {
      cases->push_back(
          {Substitute("router_topk/$0/$1", format, tokens),
           GraphText(tokens,
                     Substitute("input %x : f32[tokens,256]\nweight @w : $0[21,256]\n"
                                "weight @lb : f32[21]\nweight @b : f32[21]\n",
                                format),
                     "%p, %id = router_topk(%x, @w) {k=4, renorm=true} : "
                     "f32[tokens,4], i32[tokens,4]\n"
                     "%q, %jd = router_topk(%x, @w, @lb, @b) {gating=sigmoid, k=3, scale=2.5} : "
                     "f32[tokens,3], i32[tokens,3]\n",
                     "output %p\noutput %id\noutput %q\noutput %jd\n"),
           {}});
    }
  }
}

// Sums over slots' rows with a residual and biases, and over tokens' rows without either.
void AddExpertSums(std::vector<OpCase>* cases) {
  for (const char* format : {"f32", "q4_k", "q8_0", "mxfp4"}) {
    for (int tokens : kTokenCounts) {
      cases->push_back(
          {Substitute("expert_sum/$0/$1", format, tokens),
           GraphText(tokens,
                     Substitute("input %h : f32[tokens*3,256]\ninput %x : f32[tokens,256]\n"
                                "input %id : i32[tokens,3]\ninput %p : f32[tokens,3]\n"
                                "input %r : f32[tokens,66]\nweight @down : $0[8,66,256]\n"
                                "weight @bias : f32[8,66]\n",
                                format),
                     "%y = indexed_expert_sum(%h, @down, %id, %p, %r, @bias) : f32[tokens,66]\n"
                     "%z = indexed_expert_sum(%x, @down, %id, %p) : f32[tokens,66]\n",
                     "output %y\noutput %z\n"),
           {{"id", {0, 7}}}});
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
  for (const char* format : {"f32", "f16", "q8_0", "q4_k", "mxfp4"}) {
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
                     "%z = scaled_add(%d, %p, %row_of) : f32[tokens,64]\n"
                     "%t = expert_tiles(%offsets) {most=3, rows=[tokens*2]} : "
                     "i32[tokens*2,3]\n",
                     "output %y\noutput %z\noutput %row_of\noutput %t\n"),
           {{"id", {0, 7}}}});
    }
  }
  cases->push_back(
      {"scaled_add/any_order",
       GraphText(4,
                 "input %rows : f32[tokens*3,50]\ninput %p : f32[tokens,3]\n"
                 "input %row_of : i32[tokens,3]\n",
                 "%y = scaled_add(%rows, %p, %row_of) : f32[tokens,50]\n", "output %y\n"),
       {}});
  AddIndexedExperts(cases);
}

// With and without each optional operand, and with caches of every format.
void AddQkNormRope(std::vector<OpCase>* cases) {
  const struct {
    const char* name;
    const char* options;
  } kVariants[] = {{"no_norms", ""},
                   {"q_norm", ", @qn"},
                   {"k_norm", ", _, @kn"},
                   {"freq_factors", ", _, _, @f"},
                   {"everything", ", @qn, @kn, @f"}};
  constexpr char kSources[] =
      "input %q : f32[tokens,4,64]\ninput %k : f32[tokens,2,64]\ninput %pos : i32[tokens]\n"
      "weight @qn : f32[64]\nweight @kn : f32[64]\nweight @f : f32[32]\n";
  for (const auto& v : kVariants) {
    cases->push_back({StrCat("qk_norm_rope/", v.name),
                      GraphText(7, kSources,
                                Substitute("%a, %b = qk_norm_rope(%q, %k, %pos$0) {dims=64, "
                                           "eps=1e-05, style=neox} : "
                                           "f32[tokens,4,64], f32[tokens,2,64]\n",
                                           v.options),
                                "output %a\noutput %b\n"),
                      {{"pos", {0, 500}}}});
    for (int tokens : kTokenCounts) {
      cases->push_back(
          {Substitute("qk_norm_rope_append/$0/$1", v.name, tokens),
           GraphText(tokens,
                     StrCat(kSources,
                            "input %v : f32[tokens,2,48]\ninput %slot : i32[tokens]\n"
                            "state %kc : state<f32[6,2,16,64]>\n"
                            "state %vc : state<f16[6,2,16,48]>\n"),
                     Substitute("%a, %kc1, %vc1 = qk_norm_rope_append(%kc, %vc, %q, %k, %v, %pos, "
                                "%slot$0) {dims=64, eps=1e-05, style=interleaved} : "
                                "f32[tokens,4,64], state<f32[6,2,16,64]>, "
                                "state<f16[6,2,16,48]>\n",
                                v.options),
                     "output %a\n"),
           {{"pos", {0, 500}}}});
    }
  }
  // Keys that are not rotated, at position 0, are rounded to the cache's format alike everywhere.
  for (const char* format : {"f16", "bf16", "q8_0"}) {
    cases->push_back(
        {StrCat("qk_norm_rope_append/", format),
         GraphText(5,
                   StrCat(kSources, "input %v : f32[tokens,2,64]\ninput %slot : i32[tokens]\n",
                          Substitute("state %kc : state<$0[6,2,16,64]>\n"
                                     "state %vc : state<$0[6,2,16,64]>\n",
                                     format)),
                   Substitute("%a, %kc1, %vc1 = qk_norm_rope_append(%kc, %vc, %q, %k, %v, %pos, "
                              "%slot, @qn) {dims=64, style=neox} : f32[tokens,4,64], "
                              "state<$0[6,2,16,64]>, state<$0[6,2,16,64]>\n",
                              format),
                   "output %a\n"),
         {{"pos", {0, 0}}}});
  }
}

struct RopeVariant {
  const char* name;
  const char* attrs;
};
constexpr RopeVariant kRopes[] = {
    {"interleaved", "dims=64, style=interleaved"},
    {"neox", "dims=64, style=neox"},
    {"neox_partial", "dims=32, style=neox"},
    {"interleaved_partial", "dims=32, style=interleaved"},
    {"linear", "base=1e+06, dims=64, factor=4.0, scaling=linear, style=neox"},
    {"yarn", "dims=64, factor=4.0, original_context=64, scaling=yarn, style=interleaved"},
};

void AddRope(std::vector<OpCase>* cases) {
  for (const RopeVariant& rope : kRopes) {
    cases->push_back(
        {StrCat("rope/", rope.name),
         GraphText(11, "input %x : f32[tokens,3,64]\ninput %pos : i32[tokens]\n",
                   Substitute("%y = rope(%x, %pos) {$0} : f32[tokens,3,64]\n", rope.attrs),
                   "output %y\n"),
         {{"pos", {0, 500}}}});
    cases->push_back(
        {StrCat("qk_norm_rope/", rope.name),
         GraphText(11,
                   "input %q : f32[tokens,4,64]\ninput %k : f32[tokens,2,64]\n"
                   "input %pos : i32[tokens]\nweight @qn : f32[64]\nweight @kn : f32[64]\n",
                   Substitute("%a, %b = qk_norm_rope(%q, %k, %pos, @qn, @kn) {$0} : "
                              "f32[tokens,4,64], f32[tokens,2,64]\n",
                              rope.attrs),
                   "output %a\noutput %b\n"),
         {{"pos", {0, 500}}}});
  }
  cases->push_back(
      {"rope/freq_factors",
       GraphText(11, "input %x : f32[tokens,3,64]\ninput %pos : i32[tokens]\ninput %f : f32[32]\n",
                 "%y = rope(%x, %pos, %f) {dims=64, style=neox} : f32[tokens,3,64]\n",
                 "output %y\n"),
       {{"pos", {0, 500}}}});
  AddQkNormRope(cases);
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
  const std::pair<const char*, const char*> kLayerNorms[] = {
      {"plain", ""}, {"weight", ", @w"}, {"bias", ", _, @b"}, {"both", ", @w, @b"}};
  for (const auto& [name, operands] : kLayerNorms) {
    cases->push_back(
        {StrCat("layer_norm/", name),
         GraphText(33, "input %x : f32[tokens,130]\nweight @w : f32[130]\nweight @b : f32[130]\n",
                   Substitute("%y = layer_norm(%x$0) {eps=1e-05} : f32[tokens,130]\n", operands),
                   "output %y\n"),
         {}});
  }
  for (const char* weight : {"", ", @w"}) {
    cases->push_back({StrCat("add_rms_norm/", *weight == 0 ? "plain" : "weight"),
                      GraphText(33,
                                "input %a : f32[tokens,130]\ninput %b : f32[tokens,130]\n"
                                "weight @w : f32[130]\n",
                                Substitute("%s, %y = add_rms_norm(%a, %b$0) {eps=1e-05} : "
                                           "f32[tokens,130], f32[tokens,130]\n",
                                           weight),
                                "output %s\noutput %y\n"),
                      {}});
  }
  AddRope(cases);
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
      {"bf16", "bf16", "scale=0.125", 4},
      {"q8_0", "q8_0", "scale=0.125", 4},
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

void AddMeanPool(std::vector<OpCase>* cases) {
  for (int tokens : kTokenCounts) {
    cases->push_back({StrCat("mean_pool/", tokens),
                      GraphText(tokens,
                                "input %x : f32[tokens,130]\ninput %seq : i32[tokens]\n"
                                "input %lens : i32[3]\n",
                                "%y = mean_pool(%x, %seq, %lens) : f32[3,130]\n", "output %y\n"),
                      {{"seq", {0, 2}}, {"lens", {0, 9}}}});
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
  cases->push_back({"copy",
                    GraphText(9, "input %x : f32[tokens,5]\n",
                              "%s = silu(%x) : f32[tokens,5]\n"
                              "%y = copy(%s) : f32[tokens,5]\n"
                              "%z = copy(%x) : f32[tokens,5]\n",
                              "output %y\noutput %z\n"),
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

// Rows shorter than a workgroup and much longer ones, all of a row, ties, and rows that are mostly
// -inf and inf.
void AddSampling(std::vector<OpCase>* cases) {
  const struct {
    const char* name;
    int tokens, n, k;
    const char* x;  // from %r, of the type $0
  } kRows[] = {
      {"argmax", 7, 100, 1, "%x = scale(%r) {factor=2.0} : $0\n"},
      {"whole", 2, 64, 64, "%x = scale(%r) {factor=2.0} : $0\n"},
      {"vocabulary", 3, 151936, 64, "%x = scale(%r) {factor=2.0} : $0\n"},
      {"ties", 3, 20000, 40,
       "%a = scale(%r) {factor=3.0} : $0\n%i = cast(%a) {to=i32} : $1\n%x = cast(%i) {to=f32} : "
       "$0\n"},
      {"infinite", 3, 5000, 64,
       "%a = scale(%r) {factor=1e+38} : $0\n%x = scale(%a) {factor=1e+3} : $0\n"},
  };
  for (const auto& row : kRows) {
    const std::string shape = StrCat("[tokens,", row.n, "]");
    cases->push_back(
        {StrCat("top_k/", row.name),
         GraphText(row.tokens, Substitute("input %r : f32$0\n", shape),
                   StrCat(Substitute(row.x, StrCat("f32", shape), StrCat("i32", shape)),
                          Substitute("%v, %id = top_k(%x) {k=$0} : f32[tokens,$0], "
                                     "i32[tokens,$0]\n",
                                     row.k)),
                   "output %v\noutput %id\n"),
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
  AddMeanPool(&cases);
  AddLayout(&cases);
  AddSampling(&cases);
  return cases;
}

std::vector<OpCase> OptionalOpCases() {
  std::vector<OpCase> cases;
  AddRouters(&cases);
  AddExpertSums(&cases);
  return cases;
}

std::vector<OpCase> CasesWithReplaceableOperands(std::vector<OpCase> cases) {
  std::erase_if(cases, [](const OpCase& test) {
    absl::StatusOr<Graph> graph = Parse(test.text, test.name);
    if (!graph.ok()) return true;
    const auto copies = CopyReplaceableOperands(&*graph);
    return !copies.ok() || copies->empty();
  });
  return cases;
}

absl::StatusOr<std::vector<CopiedOperand>> CopyReplaceableOperands(Graph* graph) {
  std::vector<Node*> nodes;
  for (const auto& node : graph->nodes()) nodes.push_back(node.get());
  std::vector<CopiedOperand> copies;
  for (Node* node : nodes) {
    for (size_t i = 0; i < node->results().size(); ++i) {
      const int replaced = node->op().results[i].in_place;
      if (replaced < 0) continue;
      Value* operand = node->operand(static_cast<size_t>(replaced));
      if (operand == nullptr) continue;
      SLUICE_ASSIGN_OR_RETURN(Node* const copy, graph->Add({.op = "scale",
                                                            .operands = {operand},
                                                            .attrs = {{"factor", 1.0}},
                                                            .names = {graph->UniqueName("copy")},
                                                            .before = node}));
      graph->SetOperand(node, replaced, copy->result());
      copies.push_back({copy->result(), node->result(i)});
    }
  }
  return copies;
}

std::vector<BadIndex> AllBadIndices() {
  return {{"embedding/f32", "ids", 40},
          {"experts/f32/2", "id", 8},
          {"indexed_experts/f32/2", "id", 8},
          {"scaled_add/any_order", "row_of", 12},
          {"qk_norm_rope_append/no_norms/2", "slot", 96},
          {"attention/f32/2", "slot", 96},
          {"attention/f32/2", "seq", 3},
          {"attention/f32/2", "tables", 6},
          {"attention/f32/2", "lens", 65},
          {"gather_rows", "rows", 9},
          {"mean_pool/7", "seq", 3}};
}

std::string TestName(const OpCase& test) { return absl::StrReplaceAll(test.name, {{"/", "_"}}); }

std::string TestName(const BadIndex& bad) {
  return absl::StrReplaceAll(StrCat(bad.op_case, "/", bad.input), {{"/", "_"}});
}

absl::Status CompileFor(const Backend& backend, Graph* graph) {
  const CompileContext context = ContextOf(backend);
  return RunPasses(
      {*FindPass("select_kernels"), *FindPass("derive_operands"), *FindPass("plan_memory")},
      context, {}, graph);
}

}  // namespace sluice
