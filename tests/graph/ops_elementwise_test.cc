// add, mul, silu, gelu, softmax, scale and mean_pool: numbers by hand, broadcasting, errors, cost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/eval.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::FloatEq;
using testing::HasSubstr;

TEST(AddMul, SameShape) {
  const TestTensor a = Floats({2, 2}, {1, 2, 3, 4});
  const TestTensor b = Floats({2, 2}, {10, 20, 30, 40});
  EXPECT_THAT(FloatsOf(EvalOp("add", {a, b})), ElementsAre(11, 22, 33, 44));
  EXPECT_THAT(FloatsOf(EvalOp("mul", {a, b})), ElementsAre(10, 40, 90, 160));
}

TEST(AddMul, BroadcastsOverLeadingDimensions) {
  const TestTensor a = Floats({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_THAT(FloatsOf(EvalOp("add", {a, Floats({2}, {10, 20})})),
              ElementsAre(11, 22, 13, 24, 15, 26, 17, 28));
  EXPECT_THAT(FloatsOf(EvalOp("mul", {a, Floats({2, 2}, {1, 0, 2, -1})})),
              ElementsAre(1, 0, 6, -4, 5, 0, 14, -8));
  EXPECT_THAT(FloatsOf(EvalOp("mul", {a, Floats({}, {2})})),
              ElementsAre(2, 4, 6, 8, 10, 12, 14, 16));
}

TEST(AddMul, Infers) {
  EXPECT_EQ(*InferOp("add", {"f32[t,4,8]", "f32[8]"}), "f32[t,4,8]");
  EXPECT_EQ(*InferOp("mul", {"f32[t,8]", "f32[t,8]"}), "f32[t,8]");
  for (const char* b : {"f32[4]", "f32[t]", "f32[2,t,8]", "f32[1,8]"}) {
    EXPECT_EQ(InferError("add", {"f32[t,8]", b}),
              std::string("'add': b is ") + b +
                  ", expected the shape of a, f32[t,8], or its last dimensions");
  }
  EXPECT_EQ(InferError("mul", {"f32[t,8]", "f16[8]"}), "'mul': b is f16[8], expected f32[*]");
}

TEST(AddMul, AreCommutative) {
  for (const char* op : {"add", "mul"}) EXPECT_TRUE(StandardOps().Find(op)->is_commutative) << op;
}

TEST(AddMul, Cost) {
  const OpCost cost = CostOf("add", {"f32[3,8]", "f32[8]"});
  EXPECT_EQ(cost.flops, 24);
  EXPECT_EQ(cost.bytes_read, (24 + 8) * 4);
  EXPECT_EQ(cost.bytes_written, 24 * 4);
}

TEST(Silu, Values) {
  const auto out = EvalOp("silu", {Floats({4}, {0, 1, -1, -1000})});
  // 1 / (1 + e^-1) = 0.7310585786300049
  EXPECT_THAT(FloatsOf(out), ElementsAre(0, FloatEq(0.73105858F), FloatEq(-0.26894142F), 0));
}

TEST(Gelu, TanhAndExactForms) {
  const TestTensor x = Floats({3}, {0, 1, -2});
  // Phi(1) = 0.8413447460685429, Phi(-2) = 0.02275013194817921; the tanh form is off by < 5e-4.
  EXPECT_THAT(FloatsOf(EvalOp("gelu", {x}, {{"approximate", "none"}})),
              ElementsAre(0, FloatEq(0.84134475F), FloatEq(-0.045500264F)));
  EXPECT_THAT(FloatsOf(EvalOp("gelu", {x})),
              ElementsAre(0, FloatEq(0.84119199F), FloatEq(-0.045402306F)));
  EXPECT_THAT(InferError("gelu", {"f32[t]"}, {{"approximate", "erf"}}),
              HasSubstr("expected one of tanh, none"));
}

TEST(Softmax, RowsSumToOneAndLargeInputsAreSafe) {
  const auto out = EvalOp("softmax", {Floats({2, 2}, {0, std::log(3.0F), 1000, 1000})});
  EXPECT_THAT(FloatsOf(out), ElementsAre(FloatEq(0.25F), FloatEq(0.75F), 0.5F, 0.5F));
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_THAT(FloatsOf(EvalOp("softmax", {Floats({3}, {-inf, 5, 5})})), ElementsAre(0, 0.5F, 0.5F));
  EXPECT_EQ(InferError("softmax", {"f32[]"}), "'softmax': x is f32[], expected f32[...,d]");
}

TEST(Scale, MultipliesByAConstant) {
  EXPECT_THAT(FloatsOf(EvalOp("scale", {Floats({2}, {2, -4})}, {{"factor", 0.5}})),
              ElementsAre(1, -2));
  EXPECT_THAT(InferError("scale", {"f32[t]"}), HasSubstr("needs the attribute 'factor'"));
  EXPECT_EQ(InferError("scale", {"f32[t]"}, {{"factor", std::nan("")}}),
            "'scale': attribute factor is nan, expected a finite number");
}

TEST(Unary, KeepTheShapeAndRejectOtherTypes) {
  for (const char* op : {"silu", "gelu", "softmax"}) {
    EXPECT_EQ(*InferOp(op, {"f32[t,4,8]"}), "f32[t,4,8]") << op;
    EXPECT_THAT(InferError(op, {"i32[t,8]"}), HasSubstr("x is i32[t,8], expected f32[...")) << op;
    EXPECT_THAT(InferError(op, {"state<f32[t,8]>"}), HasSubstr("x is state<f32[t,8]>")) << op;
  }
  EXPECT_EQ(CostOf("silu", {"f32[2,3]"}).flops, 24);
  EXPECT_EQ(CostOf("softmax", {"f32[2,3]"}).flops, 24);
  EXPECT_EQ(CostOf("scale", {"f32[2,3]"}, {{"factor", 2.0}}).flops, 6);
}

// --- mean_pool ------------------------------------------------------------------------------

TEST(MeanPool, AveragesTheRowsOfEachSequence) {
  const TestTensor x = Floats({4, 2}, {1, 2, 10, 20, 3, 6, 5, 1});
  // Sequences in any order, one of them without a token.
  const auto out = EvalOp("mean_pool", {x, Ints({4}, {2, 0, 2, 2}), Ints({3}, {1, 0, 3})});
  EXPECT_THAT(FloatsOf(out), ElementsAre(10, 20, 0, 0, 3, 3));
}

TEST(MeanPool, NamesABadSequence) {
  for (const int bad : {-1, 2}) {
    const auto out =
        EvalOp("mean_pool", {Floats({2, 1}, {1, 2}), Ints({2}, {1, bad}), Ints({2}, {1, 1})});
    EXPECT_EQ(ErrorOf(out),
              "'mean_pool': seq_ids[1] is " + std::to_string(bad) + ", expected 0 <= index < 2");
  }
}

TEST(MeanPool, InfersAndCosts) {
  EXPECT_EQ(*InferOp("mean_pool", {"f32[t,8]", "i32[t]", "i32[seqs]"}), "f32[seqs,8]");
  EXPECT_THAT(InferError("mean_pool", {"f32[t,8]", "i32[seqs]", "i32[seqs]"}),
              HasSubstr("seq_ids is i32[seqs], expected i32[t]"));
  const OpCost cost = CostOf("mean_pool", {"f32[10,8]", "i32[10]", "i32[2]"});
  EXPECT_EQ(cost.flops, 80 + 16);
  EXPECT_EQ(cost.bytes_read, (80 + 10 + 2) * 4);
  EXPECT_EQ(cost.bytes_written, 16 * 4);
}

}  // namespace
}  // namespace sluice
