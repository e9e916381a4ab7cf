// Routing, grouping, expert products and their weighted sum: numbers by hand, invariants, errors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "graph/formats/quantize.h"
#include "tests/support/eval.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::FloatEq;
using testing::HasSubstr;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// --- topk_softmax ---------------------------------------------------------------------------

// Logits of which the softmax is 0.1, 0.4, 0.2, 0.3.
TestTensor Logits() {
  return Floats({1, 4}, {std::log(0.1F), std::log(0.4F), std::log(0.2F), std::log(0.3F)});
}

// The numbers in Logits() are rounded to float32: relative errors of a few 2^-24.
testing::Matcher<float> Near(float value) { return testing::FloatNear(value, 1e-6F); }

TEST(TopkSoftmax, ChoosesTheLargestInDescendingOrder) {
  const auto out = EvalOp("topk_softmax", {Logits()}, {{"k", 2}});
  EXPECT_THAT(IntsOf(out, 1), ElementsAre(1, 3));
  EXPECT_THAT(FloatsOf(out, 0), ElementsAre(Near(0.4F), Near(0.3F)));
}

TEST(TopkSoftmax, RenormalisesAndScales) {
  auto out = EvalOp("topk_softmax", {Logits()}, {{"k", 2}, {"renorm", true}});
  EXPECT_THAT(FloatsOf(out, 0), ElementsAre(Near(4.0F / 7), Near(3.0F / 7)));
  out = EvalOp("topk_softmax", {Logits()}, {{"k", 2}, {"renorm", true}, {"scale", 2.5}});
  EXPECT_THAT(FloatsOf(out, 0), ElementsAre(Near(10.0F / 7), Near(7.5F / 7)));
  out = EvalOp("topk_softmax", {Logits()}, {{"k", 4}, {"scale", 10.0}});
  EXPECT_THAT(IntsOf(out, 1), ElementsAre(1, 3, 2, 0));
  EXPECT_THAT(FloatsOf(out, 0), ElementsAre(Near(4), Near(3), Near(2), Near(1)));
}

TEST(TopkSoftmax, TiesGoToTheSmallerId) {
  const auto out = EvalOp("topk_softmax", {Floats({2, 4}, {1, 2, 2, 2, 0, 0, 0, 0})}, {{"k", 2}});
  EXPECT_THAT(IntsOf(out, 1), ElementsAre(1, 2, 0, 1));
  EXPECT_EQ(FloatsOf(out, 0)[2], 0.25F);
  // Scores that are equal in float32 are ties, although the logits differ: both underflow.
  const auto small = EvalOp("topk_softmax", {Floats({1, 3}, {-300, -200, 0})}, {{"k", 2}});
  EXPECT_THAT(IntsOf(small, 1), ElementsAre(2, 0));
}

TEST(TopkSoftmax, BiasChangesTheChoiceAndNotTheWeights) {
  const TestTensor bias = Floats({4}, {1, 0, 0, -1});
  const auto out = EvalOp("topk_softmax", {Logits(), bias}, {{"k", 2}});
  EXPECT_THAT(IntsOf(out, 1), ElementsAre(0, 1));
  EXPECT_THAT(FloatsOf(out, 0), ElementsAre(Near(0.1F), Near(0.4F)));
  const auto masked = EvalOp("topk_softmax", {Logits(), Floats({4}, {0, -kInf, 0, 0})}, {{"k", 1}});
  EXPECT_THAT(IntsOf(masked, 1), ElementsAre(3));
}

TEST(TopkSoftmax, SigmoidGating) {
  const TestTensor logits = Floats({1, 3}, {0, std::log(3.0F), -1});
  const Attributes attrs = {{"k", 2}, {"gating", "sigmoid"}};
  const auto out = EvalOp("topk_softmax", {logits}, attrs);
  EXPECT_THAT(IntsOf(out, 1), ElementsAre(1, 0));
  EXPECT_THAT(FloatsOf(out, 0), ElementsAre(FloatEq(0.75F), FloatEq(0.5F)));
  const auto renormalised =
      EvalOp("topk_softmax", {logits}, {{"k", 2}, {"gating", "sigmoid"}, {"renorm", true}});
  EXPECT_THAT(FloatsOf(renormalised, 0), ElementsAre(FloatEq(0.6F), FloatEq(0.4F)));
}

TEST(TopkSoftmax, SumIsClampedBeforeTheDivision) {
  // sigmoid(-20) = 2.0611536e-9, far below the clamp of 2^-14.
  const auto out = EvalOp("topk_softmax", {Floats({1, 2}, {-20, -30})},
                          {{"k", 1}, {"gating", "sigmoid"}, {"renorm", true}});
  EXPECT_THAT(FloatsOf(out, 0), ElementsAre(FloatEq(2.0611536e-9F * 16384)));
}

TEST(TopkSoftmax, RejectsLogitsWithoutScores) {
  const auto error = [](std::vector<float> logits, const Attributes& attrs = {{"k", 1}}) {
    return ErrorOf(EvalOp("topk_softmax", {Floats({2, 2}, logits)}, attrs));
  };
  EXPECT_EQ(error({0, 1, 2, kNan}), "'topk_softmax': logits[1,1] is nan, expected less than inf");
  EXPECT_EQ(error({kNan, 1, 2, 3}, {{"k", 1}, {"gating", "sigmoid"}}),
            "'topk_softmax': logits[0,0] is nan, expected less than inf");
  EXPECT_EQ(error({0, kInf, 2, 3}), "'topk_softmax': logits[0,1] is inf, expected less than inf");
  EXPECT_EQ(error({0, 0, -kInf, -kInf}), "'topk_softmax': all of logits[1] are -inf");
  EXPECT_EQ(ErrorOf(EvalOp("topk_softmax", {Logits(), Floats({4}, {0, 0, kNan, 0})}, {{"k", 1}})),
            "'topk_softmax': bias[2] is nan");
}

TEST(TopkSoftmax, MinusInfinityMasksAnExpert) {
  const auto out = EvalOp("topk_softmax", {Floats({1, 3}, {-kInf, 1, 1})}, {{"k", 3}});
  EXPECT_THAT(IntsOf(out, 1), ElementsAre(1, 2, 0));
  EXPECT_THAT(FloatsOf(out, 0), ElementsAre(0.5F, 0.5F, 0));
}

TEST(TopkSoftmax, Infers) {
  EXPECT_EQ(*InferOp("topk_softmax", {"f32[t,8]", "f32[8]"}, {{"k", 2}}), "f32[t,2], i32[t,2]");
  EXPECT_EQ(InferError("topk_softmax", {"f32[t,8]"}, {{"k", 9}}),
            "'topk_softmax': attribute k is 9, expected 1..8");
  EXPECT_EQ(InferError("topk_softmax", {"f32[t,8]"}, {{"k", 0}}),
            "'topk_softmax': attribute k is 0, expected 1..8");
  EXPECT_EQ(InferError("topk_softmax", {"f32[4,t]"}, {{"k", 1}}),
            "'topk_softmax': dimension E is t, expected a constant");
  EXPECT_EQ(InferError("topk_softmax", {"f32[t,8]", "f32[4]"}, {{"k", 1}}),
            "'topk_softmax': bias is f32[4], expected f32[E] where E=8 (from logits)");
  EXPECT_THAT(InferError("topk_softmax", {"f32[t,8]"}, {{"k", 1}, {"gating", "none"}}),
              HasSubstr("expected one of softmax, sigmoid"));
  EXPECT_THAT(InferError("topk_softmax", {"f32[t,8]"}, {{"k", 1}, {"scale", kInf}}),
              HasSubstr("attribute scale is inf, expected a finite number"));
}

// --- moe_gather -----------------------------------------------------------------------------

TEST(MoeGather, GroupsByExpertThenTokenThenSlot) {
  const TestTensor x = Floats({3, 2}, {0, 1, 10, 11, 20, 21});
  const TestTensor ids = Ints({3, 2}, {2, 0, 0, 2, 2, 3});
  const auto out = EvalOp("moe_gather", {x, ids}, {{"experts", 5}});
  EXPECT_THAT(FloatsOf(out, 0), ElementsAre(0, 1, 10, 11,          // expert 0: tokens 0, 1
                                            0, 1, 10, 11, 20, 21,  // expert 2: tokens 0, 1, 2
                                            20, 21));              // expert 3: token 2
  EXPECT_THAT(IntsOf(out, 1), ElementsAre(2, 0, 1, 3, 4, 5));
  EXPECT_THAT(IntsOf(out, 2), ElementsAre(0, 2, 2, 5, 6, 6));
}

TEST(MoeGather, PlanIsConsistentForManyTokens) {
  constexpr int32_t kTokens = 97, kSlots = 3, kExperts = 7;
  std::vector<float> x(kTokens);
  std::vector<int32_t> ids(kTokens * kSlots);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  for (size_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<int32_t>(i * i * 31 % 1009 % kExperts);
  const auto out = EvalOp("moe_gather", {Floats({kTokens, 1}, x), Ints({kTokens, kSlots}, ids)},
                          {{"experts", kExperts}});
  const std::vector<float> rows = FloatsOf(out, 0);
  const std::vector<int32_t> row_of = IntsOf(out, 1);
  const std::vector<int32_t> offsets = IntsOf(out, 2);
  ASSERT_EQ(offsets.size(), kExperts + 1U);
  EXPECT_EQ(offsets.front(), 0);
  EXPECT_EQ(offsets.back(), kTokens * kSlots);
  std::vector<int32_t> previous(kExperts, -1);
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto e = static_cast<size_t>(ids[i]);
    EXPECT_GE(row_of[i], offsets[e]);
    EXPECT_LT(row_of[i], offsets[e + 1]);
    EXPECT_GT(row_of[i], previous[e]) << "rows of an expert keep the order of the tokens";
    previous[e] = row_of[i];
    EXPECT_EQ(rows[static_cast<size_t>(row_of[i])], x[i / kSlots]);
  }
}

TEST(MoeGather, RejectsIdsThatAreNoExperts) {
  const TestTensor x = Floats({2, 1}, {1, 2});
  EXPECT_EQ(ErrorOf(EvalOp("moe_gather", {x, Ints({2, 2}, {0, 1, 3, 4})}, {{"experts", 4}})),
            "'moe_gather': ids[1,1] is 4, expected 0 <= index < 4");
  EXPECT_EQ(ErrorOf(EvalOp("moe_gather", {x, Ints({2, 1}, {-1, 0})}, {{"experts", 4}})),
            "'moe_gather': ids[0,0] is -1, expected 0 <= index < 4");
}

TEST(MoeGather, Infers) {
  EXPECT_EQ(*InferOp("moe_gather", {"f32[tokens,64]", "i32[tokens,8]"}, {{"experts", 128}}),
            "f32[tokens*8,64], i32[tokens,8], i32[129]");
  EXPECT_EQ(*InferOp("moe_gather", {"f32[3,64]", "i32[3,2]"}, {{"experts", 4}}),
            "f32[6,64], i32[3,2], i32[5]");
  EXPECT_EQ(InferError("moe_gather", {"f32[tokens,64]", "i32[3,8]"}, {{"experts", 4}}),
            "'moe_gather': ids is i32[3,8], expected i32[t,k] where t=tokens (from x)");
  EXPECT_THAT(InferError("moe_gather", {"f32[t,64]", "i32[t,s]"}, {{"experts", 4}}),
              HasSubstr("result rows is f32[t*k,d], but dimension t times s"));
  for (const int64_t experts : {int64_t{0}, std::numeric_limits<int64_t>::max()}) {
    EXPECT_THAT(InferError("moe_gather", {"f32[t,64]", "i32[t,2]"}, {{"experts", experts}}),
                HasSubstr("expected 1..2147483646"));
  }
}

// --- expert_matmul, expert_glu ---------------------------------------------------------------

// Three experts of [2,2]; the second one is never used.
TestTensor ExpertWeights() {
  return Floats({3, 2, 2}, {1, 0, 0, 1, kNan, kNan, kNan, kNan, 1, 1, 2, -2});
}

TEST(ExpertMatmul, EachRowMeetsItsExpert) {
  const TestTensor rows = Floats({3, 2}, {1, 2, 3, 4, 5, 6});
  const TestTensor offsets = Ints({4}, {0, 1, 1, 3});
  EXPECT_THAT(FloatsOf(EvalOp("expert_matmul", {rows, ExpertWeights(), offsets})),
              ElementsAre(1, 2, 7, -2, 11, -2));
  const TestTensor bias = Floats({3, 2}, {10, 20, kNan, kNan, -1, -2});
  EXPECT_THAT(FloatsOf(EvalOp("expert_matmul", {rows, ExpertWeights(), offsets, bias})),
              ElementsAre(11, 22, 6, -4, 10, -4));
}

TEST(ExpertMatmul, WeightsInPiecesGiveTheSame) {
  constexpr int64_t kExperts = 4, kOut = 5, kIn = 256, kRows = 6;
  std::vector<float> x(kRows * kIn);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 13 % 17) - 8;
  const TestTensor rows = Floats({kRows, kIn}, x);
  const TestTensor offsets = Ints({kExperts + 1}, {0, 2, 2, 3, 6});
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_K}) {
    auto blocks = RandomBlocks(dtype, kExperts * kOut * kIn, /*seed=*/3, /*scale=*/0.5F);
    ASSERT_TRUE(blocks.ok()) << blocks.status();
    const TestTensor stacked = Blocks(dtype, {kExperts, kOut, kIn}, *std::move(blocks));
    const auto whole = FloatsOf(EvalOp("expert_matmul", {rows, stacked, offsets}));
    EXPECT_EQ(FloatsOf(EvalOp("expert_matmul", {rows, AsPieces(stacked), offsets})), whole);
    // Row 5 belongs to expert 3: the same product as a matmul with that expert's matrix.
    const std::vector<float> last_row(x.end() - kIn, x.end());
    TestTensor expert = AsPieces(stacked);
    expert = Blocks(dtype, {kOut, kIn}, expert.pieces[3]);
    const auto alone = FloatsOf(EvalOp("matmul", {Floats({1, kIn}, last_row), expert}));
    EXPECT_THAT(alone, ElementsAreArray(whole.end() - kOut, whole.end())) << Name(dtype);
  }
}

TEST(ExpertMatmul, RejectsOffsetsThatDoNotCoverTheRows) {
  const TestTensor rows = Floats({3, 2}, {1, 2, 3, 4, 5, 6});
  const auto error = [&](const std::vector<int32_t>& offsets) {
    return ErrorOf(EvalOp("expert_matmul", {rows, ExpertWeights(), Ints({4}, offsets)}));
  };
  constexpr absl::string_view kExpected = "expected to ascend from 0 to 3, the number of rows";
  EXPECT_THAT(error({0, 1, 1, 4}), HasSubstr(absl::StrCat("offsets go from 0 to 4, ", kExpected)));
  EXPECT_THAT(error({1, 1, 1, 3}), HasSubstr(absl::StrCat("offsets go from 1 to 3, ", kExpected)));
  EXPECT_THAT(error({0, 5, 2, 3}),
              HasSubstr(absl::StrCat("go from 0 to 3 and descend at index 2, ", kExpected)));
  EXPECT_THAT(error({0, -1, 2, 3}), HasSubstr("descend at index 1"));
}

TEST(ExpertMatmul, Infers) {
  EXPECT_EQ(*InferOp("expert_matmul", {"f32[t*8,256]", "q4_k[16,64,256]", "i32[17]"}),
            "f32[t*8,64]");
  EXPECT_EQ(InferError("expert_matmul", {"f32[t*8,256]", "q4_k[16,256,64]", "i32[17]"}),
            "'expert_matmul': weight is q4_k[16,256,64], expected any[E,out,in] where in=256 "
            "(from rows)");
  EXPECT_EQ(InferError("expert_matmul", {"f32[t*8,256]", "q4_k[16,64,256]", "i32[16]"}),
            "'expert_matmul': offsets is i32[16], expected i32[E+1] where E+1=17");
  EXPECT_EQ(InferError("expert_matmul", {"f32[t,4]", "f32[e,2,4]", "i32[3]"}),
            "'expert_matmul': offsets is i32[3], expected i32[E+1], but dimension E is e, expected "
            "a constant");
  EXPECT_EQ(InferError("expert_matmul", {"f32[t,4]", "f32[2,8,4]", "i32[3]", "f32[8]"}),
            "'expert_matmul': bias is f32[8], expected f32[E,out]");
}

TEST(ExpertMatmul, CostCountsUsableExpertsOnly) {
  const OpCost few = CostOf("expert_matmul", {"f32[3,32]", "q8_0[10,4,32]", "i32[11]"});
  EXPECT_EQ(few.flops, 2 * 3 * 32 * 4);
  EXPECT_EQ(few.bytes_read, 3 * 32 * 4 + 3 * (4 * 34) + 11 * 4);
  EXPECT_EQ(few.bytes_written, 3 * 4 * 4);
  const OpCost many =
      CostOf("expert_matmul", {"f32[30,32]", "q8_0[10,4,32]", "i32[11]", "f32[10,4]"});
  EXPECT_EQ(many.bytes_read, 30 * 32 * 4 + 10 * (4 * 34) + 11 * 4 + 10 * 4 * 4);
  EXPECT_EQ(many.flops, 2 * 30 * 32 * 4 + 30 * 4);
}

TEST(ExpertGlu, IsTheGluOfEachRowsExpert) {
  const TestTensor rows = Floats({2, 2}, {1, 2, 3, -1});
  const TestTensor gate = Floats({2, 1, 2}, {1, 1, 1, 0});  // 3; 3
  const TestTensor up = Floats({2, 1, 2}, {0, 1, 2, 2});    // 2; 4
  const TestTensor offsets = Ints({3}, {0, 1, 2});
  const float silu3 = static_cast<float>(3 / (1 + std::exp(-3.0)));
  const auto out = EvalOp("expert_glu", {rows, gate, up, offsets}, {{"act", "silu"}});
  EXPECT_THAT(FloatsOf(out), ElementsAre(FloatEq(2 * silu3), FloatEq(4 * silu3)));
  EXPECT_EQ(FloatsOf(EvalOp("expert_glu", {rows, AsPieces(gate), AsPieces(up), offsets},
                            {{"act", "silu"}})),
            FloatsOf(out));
}

TEST(ExpertGlu, InfersAndCosts) {
  const Attributes silu = {{"act", "silu"}};
  EXPECT_EQ(
      *InferOp("expert_glu", {"f32[t*2,256]", "q4_k[4,64,256]", "q6_k[4,64,256]", "i32[5]"}, silu),
      "f32[t*2,64]");
  EXPECT_EQ(InferError("expert_glu", {"f32[t,4]", "f32[4,8,4]", "f32[3,8,4]", "i32[5]"}, silu),
            "'expert_glu': up is f32[3,8,4], expected any[E,ff,in] where E=4 (from gate)");
  const OpCost cost =
      CostOf("expert_glu", {"f32[2,4]", "f32[6,8,4]", "f32[6,8,4]", "i32[7]"}, silu);
  EXPECT_EQ(cost.flops, 2 * (2 * 2 * 4 * 8) + 2 * 8 * (4 + 1));
  EXPECT_EQ(cost.bytes_read, 2 * 4 * 4 + 2 * (2 * 8 * 4) * 4 + 7 * 4);
  EXPECT_EQ(cost.bytes_written, 2 * 8 * 4);
}

// --- expert_tiles ---------------------------------------------------------------------------

TEST(ExpertTiles, HaveRowsOfOneExpertEach) {
  const auto tiles = [](const std::vector<int32_t>& offsets, int64_t most) {
    return EvalOp("expert_tiles", {Ints({4}, offsets)}, {{"most", most}, {"rows", Shape{6}}});
  };
  EXPECT_THAT(IntsOf(tiles({0, 5, 5, 6}, 2)),
              ElementsAre(0, 2, 0, 2, 2, 0, 4, 1, 0, 5, 1, 2, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(IntsOf(tiles({0, 0, 6, 6}, 4)),
              ElementsAre(0, 4, 1, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  constexpr absl::string_view kExpected = "expected to ascend from 0 to 6, the number of rows";
  for (const std::vector<int32_t>& wrong :
       {std::vector<int32_t>{0, 1, 2, 5}, {1, 2, 3, 6}, {0, 4, 3, 6}}) {
    EXPECT_THAT(ErrorOf(tiles(wrong, 2)), HasSubstr(kExpected));
  }
}

TEST(ExpertTiles, Infer) {
  const auto attrs = [](int64_t most, Shape rows) {
    return Attributes{{"most", most}, {"rows", std::move(rows)}};
  };
  const Dim rows = Dim::Symbol("t", 8);
  EXPECT_EQ(*InferOp("expert_tiles", {"i32[17]"}, attrs(32, {rows})), "i32[t*8,3]");
  EXPECT_THAT(InferError("expert_tiles", {"i32[17]"}, attrs(0, {rows})),
              HasSubstr("attribute most is 0, expected 1.."));
  EXPECT_THAT(InferError("expert_tiles", {"i32[17]"}, attrs(32, {rows, 3})),
              HasSubstr("expected one dimension"));
  EXPECT_THAT(InferError("expert_tiles", {"i32[t]"}, attrs(32, {rows})),
              HasSubstr("expected a constant"));
}

// --- indexed_expert_matmul, indexed_expert_glu -----------------------------------------------

TEST(IndexedExpertMatmul, EachSlotMeetsItsExpert) {
  const TestTensor ids = Ints({2, 2}, {2, 0, 0, 0});
  const TestTensor per_token = Floats({2, 2}, {1, 2, 3, 4});
  EXPECT_THAT(FloatsOf(EvalOp("indexed_expert_matmul", {per_token, ExpertWeights(), ids})),
              ElementsAre(3, -2, 1, 2, 3, 4, 3, 4));
  const TestTensor per_slot = Floats({4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_THAT(FloatsOf(EvalOp("indexed_expert_matmul", {per_slot, ExpertWeights(), ids})),
              ElementsAre(3, -2, 3, 4, 5, 6, 7, 8));
  const TestTensor bias = Floats({3, 2}, {10, 20, kNan, kNan, -1, -2});
  EXPECT_THAT(FloatsOf(EvalOp("indexed_expert_matmul", {per_token, ExpertWeights(), ids, bias})),
              ElementsAre(2, -4, 11, 22, 13, 24, 13, 24));
}

// Rows of a tensor in the order that `row_of` gives.
std::vector<float> Permuted(const std::vector<float>& rows, const std::vector<int32_t>& row_of) {
  const size_t cols = rows.size() / row_of.size();
  std::vector<float> result;
  for (const int32_t row : row_of) {
    const auto begin = rows.begin() + row * static_cast<int64_t>(cols);
    result.insert(result.end(), begin, begin + static_cast<int64_t>(cols));
  }
  return result;
}

TEST(IndexedExperts, EqualGatheredExpertsInAnotherOrder) {
  constexpr int64_t kExperts = 5, kOut = 3, kIn = 256, kTokens = 7, kSlots = 2;
  std::vector<float> numbers(kTokens * kIn);
  std::vector<int32_t> chosen(kTokens * kSlots);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i * 13 % 17) - 8;
  for (size_t i = 0; i < chosen.size(); ++i) chosen[i] = static_cast<int32_t>(i * i % kExperts);
  const TestTensor x = Floats({kTokens, kIn}, numbers);
  const TestTensor ids = Ints({kTokens, kSlots}, chosen);
  const auto plan = EvalOp("moe_gather", {x, ids}, {{"experts", kExperts}});
  ASSERT_TRUE(plan.ok()) << plan.status();
  const std::vector<int32_t> row_of = IntsOf(plan, 1);
  for (const DType dtype : {DType::kF32, DType::kQ8_0, DType::kQ4_K}) {
    const auto weight = [&](uint64_t seed) {
      auto blocks = RandomBlocks(dtype, kExperts * kOut * kIn, seed, /*scale=*/0.5F);
      EXPECT_TRUE(blocks.ok()) << blocks.status();
      return Blocks(dtype, {kExperts, kOut, kIn}, *std::move(blocks));
    };
    const TestTensor gate = weight(1), up = weight(2);
    const auto grouped = EvalOp("expert_matmul", {plan->at(0), gate, plan->at(2)});
    const auto indexed = FloatsOf(EvalOp("indexed_expert_matmul", {x, gate, ids}));
    EXPECT_EQ(indexed, Permuted(FloatsOf(grouped), row_of)) << Name(dtype);
    EXPECT_EQ(FloatsOf(EvalOp("indexed_expert_matmul", {x, AsPieces(gate), ids})), indexed);
    const Attributes gelu = {{"act", "gelu"}};
    const auto glu = EvalOp("expert_glu", {plan->at(0), gate, up, plan->at(2)}, gelu);
    EXPECT_EQ(FloatsOf(EvalOp("indexed_expert_glu", {x, gate, up, ids}, gelu)),
              Permuted(FloatsOf(glu), row_of))
        << Name(dtype);
  }
}

TEST(IndexedExpertMatmul, RejectsIdsThatAreNoExperts) {
  const TestTensor x = Floats({2, 2}, {1, 2, 3, 4});
  const auto error = [&](const std::vector<int32_t>& ids) {
    return ErrorOf(EvalOp("indexed_expert_matmul", {x, ExpertWeights(), Ints({2, 1}, ids)}));
  };
  EXPECT_EQ(error({0, 3}), "'indexed_expert_matmul': ids[1,0] is 3, expected 0 <= index < 3");
  EXPECT_EQ(error({-1, 0}), "'indexed_expert_matmul': ids[0,0] is -1, expected 0 <= index < 3");
}

TEST(IndexedExperts, Infer) {
  const char* op = "indexed_expert_matmul";
  EXPECT_EQ(*InferOp(op, {"f32[t,256]", "q4_k[16,64,256]", "i32[t,8]"}), "f32[t*8,64]");
  EXPECT_EQ(*InferOp(op, {"f32[t*8,256]", "q4_k[16,64,256]", "i32[t,8]", "f32[16,64]"}),
            "f32[t*8,64]");
  EXPECT_EQ(InferError(op, {"f32[t*4,256]", "q4_k[16,64,256]", "i32[t,8]"}),
            "'indexed_expert_matmul': x is f32[t*4,256], expected f32[n,in] where n=t or n=t*8 "
            "(t or t*k of ids)");
  EXPECT_EQ(InferError(op, {"f32[t,256]", "q4_k[16,64,256]", "i32[t,8]", "f32[64]"}),
            "'indexed_expert_matmul': bias is f32[64], expected f32[E,out]");
  EXPECT_EQ(InferError(op, {"f32[t,4]", "f32[e,2,4]", "i32[t,8]"}),
            "'indexed_expert_matmul': dimension E is e, expected a constant");
  EXPECT_THAT(InferError(op, {"f32[t,4]", "f32[8,2,4]", "i32[t,s]"}),
              HasSubstr("result out is f32[t*k,out], but dimension t times s"));
  const Attributes silu = {{"act", "silu"}};
  EXPECT_EQ(*InferOp("indexed_expert_glu",
                     {"f32[t,256]", "q4_k[4,64,256]", "q6_k[4,64,256]", "i32[t,2]"}, silu),
            "f32[t*2,64]");
  EXPECT_EQ(InferError("indexed_expert_glu", {"f32[t*3,4]", "f32[4,8,4]", "f32[4,8,4]", "i32[t,2]"},
                       silu),
            "'indexed_expert_glu': x is f32[t*3,4], expected f32[n,in] where n=t or n=t*2 (t or "
            "t*k of ids)");
}

TEST(IndexedExperts, CostCountsUsableExpertsOnly) {
  const OpCost few =
      CostOf("indexed_expert_matmul", {"f32[2,32]", "q8_0[10,4,32]", "i32[2,3]", "f32[10,4]"});
  EXPECT_EQ(few.flops, 2 * 6 * 32 * 4 + 6 * 4);
  EXPECT_EQ(few.bytes_read, 2 * 32 * 4 + 6 * (4 * 34) + 6 * 4 + 6 * 4 * 4);
  EXPECT_EQ(few.bytes_written, 6 * 4 * 4);
  const OpCost many = CostOf("indexed_expert_matmul", {"f32[9,32]", "q8_0[10,4,32]", "i32[9,3]"});
  EXPECT_EQ(many.bytes_read, 9 * 32 * 4 + 10 * (4 * 34) + 27 * 4);
  const OpCost glu =
      CostOf("indexed_expert_glu", {"f32[2,4]", "f32[6,8,4]", "f32[6,8,4]", "i32[2,2]"},
             {{"act", "silu"}});
  EXPECT_EQ(glu.flops, 2 * (2 * 4 * 4 * 8) + 4 * 8 * (4 + 1));
  EXPECT_EQ(glu.bytes_read, 2 * 4 * 4 + 2 * (4 * 8 * 4) * 4 + 4 * 4);
  EXPECT_EQ(glu.bytes_written, 4 * 8 * 4);
}

// --- router_topk, indexed_expert_sum ---------------------------------------------------------

TEST(RouterTopk, ChoosesByTheProduct) {
  const TestTensor x = Floats({2, 2}, {1, 2, -1, 3});
  const TestTensor weight = Floats({3, 2}, {1, 0, 0, 1, 1, 1});
  const TestTensor logit_bias = Floats({3}, {5, 0, 0}), bias = Floats({3}, {0, 0, 1});
  const Attributes attrs = {{"k", int64_t{2}}, {"gating", "sigmoid"}, {"scale", 2.0}};
  const auto logits = EvalOp("matmul", {x, weight, logit_bias});
  ASSERT_TRUE(logits.ok()) << logits.status();
  const auto expected = EvalOp("topk_softmax", {logits->at(0), bias}, attrs);
  const auto got = EvalOp("router_topk", {x, weight, logit_bias, bias}, attrs);
  EXPECT_EQ(FloatsOf(got), FloatsOf(expected));
  EXPECT_EQ(IntsOf(got, 1), IntsOf(expected, 1));
}

TEST(RouterTopk, Infers) {
  EXPECT_EQ(InferError("router_topk", {"f32[t,4]", "f32[8,4]"}, {{"k", int64_t{9}}}),
            "'router_topk': attribute k is 9, expected 1..8");
  EXPECT_EQ(InferError("router_topk", {"f32[t,4]", "f32[8,5]"}, {{"k", int64_t{2}}}),
            "'router_topk': weight is f32[8,5], expected any[E,in] where in=4 (from x)");
}

TEST(IndexedExpertSum, AddsWhatATokensExpertsGive) {
  const TestTensor ids = Ints({2, 2}, {2, 0, 0, 0});
  const TestTensor x = Floats({2, 2}, {1, 2, 3, 4});
  const TestTensor scale = Floats({2, 2}, {1, 2, 3, -1});
  const TestTensor residual = Floats({2, 2}, {100, 200, 300, 400});
  EXPECT_THAT(FloatsOf(EvalOp("indexed_expert_sum", {x, ExpertWeights(), ids, scale})),
              ElementsAre(5, 2, 6, 8));
  EXPECT_THAT(FloatsOf(EvalOp("indexed_expert_sum", {x, ExpertWeights(), ids, scale, residual})),
              ElementsAre(105, 202, 306, 408));
}

TEST(IndexedExpertSum, InfersAndCosts) {
  const char* op = "indexed_expert_sum";
  EXPECT_EQ(*InferOp(op, {"f32[t*8,256]", "q4_k[16,64,256]", "i32[t,8]", "f32[t,8]"}), "f32[t,64]");
  EXPECT_EQ(InferError(op, {"f32[t*4,256]", "q4_k[16,64,256]", "i32[t,8]", "f32[t,8]"}),
            "'indexed_expert_sum': x is f32[t*4,256], expected f32[n,in] where n=t or n=t*8 (t or "
            "t*k of ids)");
  // 6 slots of 10 experts: 2 * 32 * 4 operations and 4 times scale and add each.
  const OpCost cost = CostOf(op, {"f32[6,32]", "f32[10,4,32]", "i32[2,3]", "f32[2,3]"});
  EXPECT_EQ(cost.flops, 6 * (2 * 32 * 4 + 2 * 4));
  EXPECT_EQ(cost.bytes_read, 4 * (6 * 32 + 6 * 4 * 32 + 6 + 6));
}

// --- scaled_add -----------------------------------------------------------------------------

TEST(ScaledAdd, SumsTheRowsOfEachToken) {
  const TestTensor rows = Floats({4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  const TestTensor weights = Floats({2, 2}, {1, 10, 0.5F, -1});
  const TestTensor row_of = Ints({2, 2}, {3, 0, 1, 2});
  EXPECT_THAT(FloatsOf(EvalOp("scaled_add", {rows, weights, row_of})),
              ElementsAre(17, 28, -3.5F, -4));
  const TestTensor residual = Floats({2, 2}, {100, 200, 300, 400});
  EXPECT_THAT(FloatsOf(EvalOp("scaled_add", {rows, weights, row_of, residual})),
              ElementsAre(117, 228, 296.5F, 396));
}

TEST(ScaledAdd, TakesRowsInOrderWithoutAPlan) {
  const TestTensor rows = Floats({4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  const TestTensor weights = Floats({2, 2}, {1, 10, 0.5F, -1});
  EXPECT_THAT(FloatsOf(EvalOp("scaled_add", {rows, weights})), ElementsAre(31, 42, -4.5F, -5));
  const TestTensor residual = Floats({2, 2}, {100, 200, 300, 400});
  EXPECT_THAT(FloatsOf(EvalOp("scaled_add", {rows, weights, LeftOut(), residual})),
              ElementsAre(131, 242, 295.5F, 395));
}

TEST(ScaledAdd, UndoesTheGather) {
  const TestTensor x = Floats({3, 1}, {5, 7, 9});
  const auto plan = EvalOp("moe_gather", {x, Ints({3, 2}, {1, 0, 0, 2, 2, 1})}, {{"experts", 3}});
  ASSERT_TRUE(plan.ok()) << plan.status();
  const TestTensor weights = Floats({3, 2}, {0.25F, 0.75F, 0.5F, 0.5F, 1, 0});
  EXPECT_THAT(FloatsOf(EvalOp("scaled_add", {plan->at(0), weights, plan->at(1)})),
              ElementsAre(5, 7, 9));
}

TEST(ScaledAdd, RejectsRowsThatAreNotThere) {
  EXPECT_EQ(ErrorOf(EvalOp("scaled_add",
                           {Floats({2, 1}, {1, 2}), Floats({1, 2}, {1, 1}), Ints({1, 2}, {0, 2})})),
            "'scaled_add': row_of[0,1] is 2, expected 0 <= index < 2");
}

TEST(ScaledAdd, InfersAndCosts) {
  EXPECT_EQ(*InferOp("scaled_add", {"f32[t*8,64]", "f32[t,8]", "i32[t,8]", "f32[t,64]"}),
            "f32[t,64]");
  EXPECT_EQ(InferError("scaled_add", {"f32[t*4,64]", "f32[t,8]", "i32[t,8]"}),
            "'scaled_add': rows is f32[t*4,64], expected f32[t*k,d] where t*k=t*8");
  EXPECT_EQ(InferError("scaled_add", {"f32[t*8,64]", "f32[t,8]", "i32[t,8]", "f32[t,32]"}),
            "'scaled_add': residual is f32[t,32], expected f32[t,d] where d=64 (from rows)");
  EXPECT_EQ(*InferOp("scaled_add", {"f32[t*8,64]", "f32[t,8]", "_", "f32[t,64]"}), "f32[t,64]");
  EXPECT_EQ(InferError("scaled_add", {"f32[t*4,64]", "f32[t,8]"}),
            "'scaled_add': rows is f32[t*4,64], expected f32[t*k,d] where t*k=t*8");
  const OpCost cost = CostOf("scaled_add", {"f32[6,4]", "f32[3,2]", "i32[3,2]"});
  EXPECT_EQ(cost.flops, 2 * 6 * 4);
  EXPECT_EQ(cost.bytes_read, (24 + 6 + 6) * 4);
}

}  // namespace
}  // namespace sluice
