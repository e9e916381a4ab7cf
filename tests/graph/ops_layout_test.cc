// gather_rows, slice, concat, reshape and cast: numbers by hand, errors, cost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/eval.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;

// x[i,j,k] = 100 i + 10 j + k
TestTensor Numbered(int64_t a, int64_t b, int64_t c) {
  std::vector<int32_t> values;
  for (int64_t n = 0; n < a * b * c; ++n) {
    values.push_back(static_cast<int32_t>(100 * (n / (b * c)) + 10 * (n / c % b) + n % c));
  }
  return Ints({a, b, c}, values);
}

// --- gather_rows ----------------------------------------------------------------------------

TEST(GatherRows, PicksRowsInTheOrderAsked) {
  const TestTensor x = Floats({3, 2}, {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(FloatsOf(EvalOp("gather_rows", {x, Ints({4}, {2, 0, 2, 1})})),
              ElementsAre(5, 6, 1, 2, 5, 6, 3, 4));
}

TEST(GatherRows, RefusesRowsThatAreNotThere) {
  const TestTensor x = Floats({3, 2}, {1, 2, 3, 4, 5, 6});
  for (const int32_t bad : {-1, 3, std::numeric_limits<int32_t>::max()}) {
    const auto out = EvalOp("gather_rows", {x, Ints({2}, {2, bad})});
    EXPECT_EQ(out.status().code(), absl::StatusCode::kOutOfRange);
    EXPECT_EQ(ErrorOf(out),
              "'gather_rows': rows[1] is " + std::to_string(bad) + ", expected 0 <= index < 3");
  }
}

TEST(GatherRows, Infers) {
  EXPECT_EQ(*InferOp("gather_rows", {"f32[t,8]", "i32[outputs]"}), "f32[outputs,8]");
  EXPECT_THAT(InferError("gather_rows", {"f32[t,8]", "f32[outputs]"}),
              HasSubstr("rows is f32[outputs], expected i32[m]"));
  EXPECT_THAT(InferError("gather_rows", {"f32[t,2,4]", "i32[m]"}),
              HasSubstr("x is f32[t,2,4], expected f32[n,d]"));
}

TEST(GatherRows, CostCountsThePickedRowsOnly) {
  const OpCost cost = CostOf("gather_rows", {"f32[100,8]", "i32[3]"});
  EXPECT_EQ(cost.flops, 0);
  EXPECT_EQ(cost.bytes_read, 3 * 8 * 4 + 3 * 4);
  EXPECT_EQ(cost.bytes_written, 3 * 8 * 4);
}

// --- slice ----------------------------------------------------------------------------------

Attributes SliceAttrs(int64_t axis, int64_t begin, int64_t end) {
  return {{"axis", axis}, {"begin", begin}, {"end", end}};
}

TEST(Slice, CutsAnyDimension) {
  const TestTensor x = Numbered(3, 2, 4);
  EXPECT_THAT(IntsOf(EvalOp("slice", {x}, SliceAttrs(0, 1, 2))),
              ElementsAre(100, 101, 102, 103, 110, 111, 112, 113));
  EXPECT_THAT(IntsOf(EvalOp("slice", {x}, SliceAttrs(1, 1, 2))),
              ElementsAre(10, 11, 12, 13, 110, 111, 112, 113, 210, 211, 212, 213));
  EXPECT_THAT(IntsOf(EvalOp("slice", {x}, SliceAttrs(2, 1, 3))),
              ElementsAre(1, 2, 11, 12, 101, 102, 111, 112, 201, 202, 211, 212));
}

TEST(Slice, MovesTwoByteElements) {
  const TestTensor x = Blocks(DType::kF16, {1, 3},
                              {std::byte{0}, std::byte{0x3c}, std::byte{0}, std::byte{0x40},
                               std::byte{0}, std::byte{0x42}});  // 1, 2, 3
  EXPECT_THAT(FloatsOf(EvalOp("slice", {x}, SliceAttrs(1, 1, 3))), ElementsAre(2, 3));
}

TEST(Slice, Infers) {
  EXPECT_EQ(*InferOp("slice", {"f32[t,12,8]"}, SliceAttrs(1, 4, 12)), "f32[t,8,8]");
  EXPECT_EQ(*InferOp("slice", {"bf16[12]"}, SliceAttrs(0, 0, 12)), "bf16[12]");
  const auto error = [](int64_t axis, int64_t begin, int64_t end) {
    return InferError("slice", {"f32[t,12]"}, SliceAttrs(axis, begin, end));
  };
  EXPECT_EQ(error(2, 0, 1), "'slice': attribute axis is 2, expected a dimension of f32[t,12]");
  EXPECT_EQ(error(-1, 0, 1), "'slice': attribute axis is -1, expected a dimension of f32[t,12]");
  EXPECT_EQ(error(0, 0, 1), "'slice': x is f32[t,12], expected a constant dimension 0, the axis");
  EXPECT_EQ(error(1, -1, 1), "'slice': attribute begin is -1, expected 0 <= begin < 12");
  EXPECT_EQ(error(1, 12, 13), "'slice': attribute begin is 12, expected 0 <= begin < 12");
  EXPECT_EQ(error(1, 4, 13), "'slice': attribute end is 13, expected 4 < end <= 12");
  EXPECT_EQ(error(1, 4, 4), "'slice': attribute end is 4, expected 4 < end <= 12");
  EXPECT_THAT(InferError("slice", {"q8_0[2,32]"}, SliceAttrs(0, 0, 1)),
              HasSubstr("x is q8_0[2,32], expected f32|f16|bf16|i32"));
}

TEST(Slice, CostCountsTheCutOnly) {
  const OpCost cost = CostOf("slice", {"f32[100,8]"}, SliceAttrs(0, 0, 3));
  EXPECT_EQ(cost.bytes_read, 3 * 8 * 4);
  EXPECT_EQ(cost.bytes_written, 3 * 8 * 4);
}

// --- concat ---------------------------------------------------------------------------------

TEST(Concat, JoinsAlongAnyDimension) {
  const TestTensor a = Ints({2, 1}, {1, 2}), b = Ints({2, 2}, {3, 4, 5, 6});
  EXPECT_THAT(IntsOf(EvalOp("concat", {a, b, a}, {{"axis", int64_t{1}}})),
              ElementsAre(1, 3, 4, 1, 2, 5, 6, 2));
  EXPECT_THAT(IntsOf(EvalOp("concat", {b, Ints({1, 2}, {7, 8})}, {{"axis", int64_t{0}}})),
              ElementsAre(3, 4, 5, 6, 7, 8));
  EXPECT_THAT(IntsOf(EvalOp("concat", {b}, {{"axis", int64_t{0}}})), ElementsAre(3, 4, 5, 6));
}

TEST(Concat, UndoesSlice) {
  const TestTensor x = Numbered(2, 3, 4);
  for (const int64_t axis : {0, 1, 2}) {
    const int64_t extent = x.type.shape[static_cast<size_t>(axis)].factor();
    const auto head = EvalOp("slice", {x}, SliceAttrs(axis, 0, 1));
    const auto tail = EvalOp("slice", {x}, SliceAttrs(axis, 1, extent));
    ASSERT_TRUE(head.ok() && tail.ok()) << head.status() << tail.status();
    EXPECT_THAT(IntsOf(EvalOp("concat", {(*head)[0], (*tail)[0]}, {{"axis", axis}})),
                ElementsAreArray(IntsOf(x)));
  }
}

TEST(Concat, Infers) {
  const Attributes axis1 = {{"axis", int64_t{1}}};
  EXPECT_EQ(*InferOp("concat", {"f32[t,4]", "f32[t,1]", "f32[t,3]"}, axis1), "f32[t,8]");
  EXPECT_EQ(InferError("concat", {"f32[t,4]", "f32[n,4]"}, axis1),
            "'concat': xs is f32[n,4], expected the f32[t,4] of the first operand but for "
            "dimension 1");
  EXPECT_THAT(InferError("concat", {"f32[t,4]", "f16[t,4]"}, axis1), HasSubstr("xs is f16[t,4]"));
  EXPECT_THAT(InferError("concat", {"f32[t,4]", "f32[t]"}, axis1), HasSubstr("xs is f32[t]"));
  EXPECT_THAT(InferError("concat", {"f32[t,4]", "_"}, axis1), HasSubstr("operand 1 is left out"));
  EXPECT_THAT(InferError("concat", {"q4_0[2,32]"}, axis1), HasSubstr("xs is q4_0[2,32]"));
  EXPECT_THAT(InferError("concat", {"f32[4,n]", "f32[4,2]"}, axis1),
              HasSubstr("xs is f32[4,n], expected a constant dimension 1"));
  EXPECT_THAT(InferError("concat", {"f32[t,4]"}, {{"axis", int64_t{2}}}),
              HasSubstr("attribute axis is 2, expected a dimension of f32[t,4]"));
  EXPECT_THAT(InferError("concat", {"i32[9223372036854775807]", "i32[1]"}, {{"axis", int64_t{0}}}),
              HasSubstr("fits 64 bits"));
}

// --- reshape --------------------------------------------------------------------------------

Shape ShapeFromText(absl::string_view text) {
  return TypeFromText("f32" + std::string(text)).shape;
}

TEST(Reshape, KeepsElementsAndTheirOrder) {
  const TestTensor x = Numbered(2, 3, 2);
  const auto out = EvalOp("reshape", {x}, {{"shape", ShapeFromText("[3,4]")}});
  EXPECT_THAT(IntsOf(out), ElementsAreArray(IntsOf(x)));
  EXPECT_EQ((*out)[0].type.ToString(), "i32[3,4]");
  EXPECT_TRUE(StandardOps().Find("reshape")->is_view);
}

TEST(Reshape, Infers) {
  const auto infer = [](const char* x, const char* shape) {
    return InferOp("reshape", {x}, {{"shape", ShapeFromText(shape)}});
  };
  EXPECT_EQ(*infer("f32[t,32]", "[t,4,8]"), "f32[t,4,8]");
  EXPECT_EQ(*infer("f32[t,4,8]", "[t*4,8]"), "f32[t*4,8]");
  EXPECT_EQ(*infer("bf16[1]", "[]"), "bf16[]");
  const auto error = [](const char* x, const char* shape) {
    return InferError("reshape", {x}, {{"shape", ShapeFromText(shape)}});
  };
  EXPECT_EQ(error("f32[t,32]", "[t,4,4]"),
            "'reshape': attribute shape is [t,4,4], expected the t*32 elements of x f32[t,32]");
  EXPECT_THAT(error("f32[t,32]", "[n,32]"), HasSubstr("attribute shape is [n,32]"));
  EXPECT_THAT(error("f32[t,32]", "[t,t,32]"), HasSubstr("attribute shape is [t,t,32]"));
  EXPECT_THAT(error("f32[32]", "[-4,-8]"),
              HasSubstr("attribute shape is [-4,-8], expected dimensions of at least 1"));
  EXPECT_THAT(error("f32[t,n]", "[t,n]"), HasSubstr("product of symbols"));
}

TEST(Reshape, CostsNothing) {
  const OpCost cost = CostOf("reshape", {"f32[2,8]"}, {{"shape", ShapeFromText("[16]")}});
  EXPECT_EQ(cost.flops, 0);
  EXPECT_EQ(cost.bytes_read, 0);
  EXPECT_EQ(cost.bytes_written, 0);
}

// --- cast -----------------------------------------------------------------------------------

EvalResults CastTo(const char* dtype, const TestTensor& x) {
  return EvalOp("cast", {x}, {{"to", dtype}});
}

TEST(Cast, RoundsToHalfNearestEven) {
  const TestTensor x = Floats({2, 3}, {1, 1 + 0x1p-11F, 1 + 0x1.8p-10F, -2.5F, 65519, 65520});
  EXPECT_THAT(FloatsOf(CastTo("f16", x)),
              ElementsAre(1, 1, 1 + 0x1p-9F, -2.5F, 65504, std::numeric_limits<float>::infinity()));
}

TEST(Cast, RoundsToBfloatNearestEven) {
  const TestTensor x = Floats({4}, {1 + 0x1p-8F, 1 + 0x1.8p-7F, 1 + 0x1.2p-8F, -3});
  EXPECT_THAT(FloatsOf(CastTo("bf16", x)), ElementsAre(1, 1 + 0x1p-6F, 1 + 0x1p-7F, -3));
}

TEST(Cast, WidensExactly) {
  for (const char* narrow : {"f16", "bf16"}) {
    const TestTensor x = Floats({2, 2}, {0.5F, -1.25F, 96, 0});
    const auto narrowed = CastTo(narrow, x);
    ASSERT_TRUE(narrowed.ok()) << narrowed.status();
    EXPECT_THAT(FloatsOf(CastTo("f32", (*narrowed)[0])), ElementsAreArray(FloatsOf(x)));
    EXPECT_THAT(IntsOf(CastTo("i32", (*narrowed)[0])), ElementsAre(0, -1, 96, 0));
  }
}

TEST(Cast, TruncatesToIntegersAndSaturates) {
  constexpr int32_t kMin = std::numeric_limits<int32_t>::min();
  constexpr int32_t kMax = std::numeric_limits<int32_t>::max();
  const TestTensor x =
      Floats({8}, {1.9F, -1.9F, 0x1p31F, -0x1p31F, 3e9F, -INFINITY, INFINITY, NAN});
  EXPECT_THAT(IntsOf(CastTo("i32", x)), ElementsAre(1, -1, kMax, kMin, kMax, kMin, kMax, 0));
}

TEST(Cast, RoundsIntegersToFloats) {
  const TestTensor x = Ints({4}, {-7, 16777217, 16777219, 70000});
  EXPECT_THAT(FloatsOf(CastTo("f32", x)), ElementsAre(-7, 16777216, 16777220, 70000));
  EXPECT_THAT(FloatsOf(CastTo("f16", x))[3], std::numeric_limits<float>::infinity());
  EXPECT_THAT(IntsOf(CastTo("i32", x)), ElementsAreArray(IntsOf(x)));
}

TEST(Cast, Infers) {
  EXPECT_EQ(*InferOp("cast", {"f32[t,8]"}, {{"to", "f16"}}), "f16[t,8]");
  EXPECT_EQ(*InferOp("cast", {"i32[]"}, {{"to", "f32"}}), "f32[]");
  EXPECT_THAT(InferError("cast", {"f32[t,32]"}, {{"to", "q8_0"}}),
              HasSubstr("expected one of f32, f16, bf16, i32"));
  EXPECT_THAT(InferError("cast", {"q8_0[t,32]"}, {{"to", "f32"}}),
              HasSubstr("x is q8_0[t,32], expected f32|f16|bf16|i32"));
  EXPECT_THAT(InferError("cast", {"state<f32[t,8]>"}, {{"to", "f32"}}),
              HasSubstr("x is state<f32[t,8]>"));
}

}  // namespace
}  // namespace sluice
