// embedding, matmul, qkv_matmul and glu: numbers by hand, every weight format, errors, cost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "graph/formats/dequantize.h"
#include "graph/formats/quantize.h"
#include "tests/support/eval.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A [rows,256] weight of random blocks: 256 elements are whole blocks in every format.
constexpr int64_t kCols = 256;
TestTensor RandomWeight(DType dtype, Shape shape, uint64_t seed = 1) {
  const int64_t elements = ElementCount(shape)->factor();
  auto blocks = RandomBlocks(dtype, elements, seed, 0.5F);
  EXPECT_TRUE(blocks.ok()) << blocks.status();
  return Blocks(dtype, std::move(shape),
                blocks.ok() ? *std::move(blocks) : std::vector<std::byte>());
}

std::vector<DType> DecodableDTypes() {
  std::vector<DType> dtypes;
  for (const DTypeInfo& info : AllDTypes()) {
    if (CanDequantize(info.dtype)) dtypes.push_back(info.dtype);
  }
  return dtypes;
}

class WeightFormat : public testing::TestWithParam<DType> {};

INSTANTIATE_TEST_SUITE_P(All, WeightFormat, testing::ValuesIn(DecodableDTypes()),
                         [](const auto& test) { return std::string(Name(test.param)); });

TEST_P(WeightFormat, EmbeddingIsTheDecodedRow) {
  const TestTensor table = RandomWeight(GetParam(), {3, kCols});
  const std::vector<float> decoded = FloatsOf(table);
  const auto out = EvalOp("embedding", {table, Ints({2}, {2, 0})});
  std::vector<float> expected(decoded.begin() + 2 * kCols, decoded.end());
  expected.insert(expected.end(), decoded.begin(), decoded.begin() + kCols);
  EXPECT_EQ(FloatsOf(out), expected);
  EXPECT_EQ(FloatsOf(EvalOp("embedding", {AsPieces(table), Ints({2}, {2, 0})})), expected);
}

TEST_P(WeightFormat, MatmulIsTheProductWithDecodedRows) {
  const TestTensor weight = RandomWeight(GetParam(), {3, kCols});
  const std::vector<float> decoded = FloatsOf(weight);
  std::vector<float> x(2 * kCols);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(static_cast<int>(i * 7 % 11) - 5);
  const std::vector<float> out = FloatsOf(EvalOp("matmul", {Floats({2, kCols}, x), weight}));
  ASSERT_EQ(out.size(), 6U);
  for (size_t i = 0; i < 2; ++i) {
    for (size_t o = 0; o < 3; ++o) {
      double sum = 0;
      for (size_t j = 0; j < kCols; ++j) {
        sum += static_cast<double>(x[i * kCols + j]) * decoded[o * kCols + j];
      }
      EXPECT_FLOAT_EQ(out[i * 3 + o], static_cast<float>(sum)) << i << "," << o;
    }
  }
}

TEST(Embedding, RejectsIdsOutsideTheTable) {
  const TestTensor table = Floats({2, 1}, {1, 2});
  EXPECT_EQ(ErrorOf(EvalOp("embedding", {table, Ints({3}, {0, 1, 2})})),
            "'embedding': ids[2] is 2, expected 0 <= index < 2");
  EXPECT_EQ(ErrorOf(EvalOp("embedding", {table, Ints({1}, {-1})})),
            "'embedding': ids[0] is -1, expected 0 <= index < 2");
}

TEST(Embedding, InfersRowsOfTheTable) {
  EXPECT_EQ(*InferOp("embedding", {"q4_k[1000,256]", "i32[tokens]"}), "f32[tokens,256]");
  EXPECT_EQ(InferError("embedding", {"i32[8,4]", "i32[n]"}),
            "'embedding': table is i32[8,4], expected any[vocab,d] of a dtype that can be decoded");
  EXPECT_EQ(InferError("embedding", {"f32[8,4]", "f32[n]"}),
            "'embedding': ids is f32[n], expected i32[n]");
  EXPECT_EQ(InferError("embedding", {"f32[8,4]", "i32[n,2]"}),
            "'embedding': ids is i32[n,2], expected i32[n]");
}

TEST(Embedding, CostsOnlyTheRowsThatAreRead) {
  const OpCost few = CostOf("embedding", {"f16[1000,64]", "i32[3]"});
  EXPECT_EQ(few.flops, 0);
  EXPECT_EQ(few.bytes_read, 3 * 4 + 3 * 128);
  EXPECT_EQ(few.bytes_written, 3 * 64 * 4);
  const OpCost many = CostOf("embedding", {"f16[10,64]", "i32[50]"});
  EXPECT_EQ(many.bytes_read, 50 * 4 + 10 * 128);  // each buffer once
}

TEST(Matmul, MultipliesByRowsOfTheWeight) {
  const TestTensor x = Floats({2, 3}, {1, 2, 3, 4, 5, 6});
  const TestTensor weight = Floats({2, 3}, {1, 0, -1, 2, 2, 2});
  EXPECT_THAT(FloatsOf(EvalOp("matmul", {x, weight})), ElementsAre(-2, 12, -2, 30));
  const TestTensor bias = Floats({2}, {0.5F, -10});
  EXPECT_THAT(FloatsOf(EvalOp("matmul", {x, weight, bias})), ElementsAre(-1.5F, 2, -1.5F, 20));
}

TEST(Matmul, SumsInFloat64) {
  // In float32 the 1 would be lost beside 2^26.
  const TestTensor x = Floats({1, 3}, {0x1p26F, 1, -0x1p26F});
  EXPECT_THAT(FloatsOf(EvalOp("matmul", {x, Floats({1, 3}, {1, 1, 1})})), ElementsAre(1));
}

TEST(Matmul, TakesAnyLeadingDimensions) {
  EXPECT_THAT(FloatsOf(EvalOp("matmul", {Floats({2}, {1, 2}), Floats({1, 2}, {3, 4})})),
              ElementsAre(11));
  EXPECT_EQ(*InferOp("matmul", {"f32[tokens,4,64]", "q8_0[32,64]"}), "f32[tokens,4,32]");
  EXPECT_EQ(*InferOp("matmul", {"f32[64]", "q8_0[32,64]", "f32[32]"}), "f32[32]");
}

TEST(Matmul, InferNamesWhatDoesNotFit) {
  EXPECT_EQ(InferError("matmul", {"f32[t,3]", "f32[8,4]"}),
            "'matmul': weight is f32[8,4], expected any[out,in] where in=3 (from x)");
  EXPECT_EQ(InferError("matmul", {"f16[t,4]", "f32[8,4]"}),
            "'matmul': x is f16[t,4], expected f32[...,in]");
  EXPECT_EQ(InferError("matmul", {"f32[]", "f32[8,4]"}),
            "'matmul': x is f32[], expected f32[...,in]");
  EXPECT_EQ(InferError("matmul", {"f32[t,4]", "f32[2,8,4]"}),
            "'matmul': weight is f32[2,8,4], expected any[out,in]");
  EXPECT_EQ(InferError("matmul", {"f32[t,4]", "state<f32[8,4]>"}),
            "'matmul': weight is state<f32[8,4]>, expected any[out,in]");
  EXPECT_EQ(InferError("matmul", {"f32[t,4]", "f32[8,4]", "f32[4]"}),
            "'matmul': bias is f32[4], expected f32[out] where out=8 (from weight)");
  EXPECT_THAT(InferError("matmul", {"f32[t,4]"}), HasSubstr("takes (x, weight, bias?)"));
}

TEST(Matmul, CostCountsMultiplyAddsAndEachBufferOnce) {
  const OpCost cost = CostOf("matmul", {"f32[2,32]", "q8_0[8,32]", "f32[8]"});
  EXPECT_EQ(cost.flops, 2 * 2 * 32 * 8 + 2 * 8);
  EXPECT_EQ(cost.bytes_read, 2 * 32 * 4 + 8 * 34 + 8 * 4);
  EXPECT_EQ(cost.bytes_written, 2 * 8 * 4);
}

Attributes HeadShapes(const Shape& q, const Shape& k, const Shape& v) {
  return {{"q_shape", q}, {"k_shape", k}, {"v_shape", v}};
}

TEST(QkvMatmul, IsThreeProductsInTheShapeOfTheirHeads) {
  const TestTensor x = Floats({2, 2}, {1, 2, 3, 4});
  const TestTensor q = Floats({4, 2}, {1, 0, 0, 1, 1, 1, 1, -1});
  const TestTensor k = Floats({2, 2}, {2, 0, 0, 2});
  const TestTensor v = Floats({1, 2}, {1, 1});
  const Attributes shapes = HeadShapes({2, 2, 2}, {2, 1, 2}, {2, 1, 1});
  auto out = EvalOp("qkv_matmul", {x, q, k, v}, shapes);
  EXPECT_THAT(FloatsOf(out, 0), ElementsAre(1, 2, 3, -1, 3, 4, 7, -1));
  EXPECT_THAT(FloatsOf(out, 1), ElementsAre(2, 4, 6, 8));
  EXPECT_THAT(FloatsOf(out, 2), ElementsAre(3, 7));
  EXPECT_EQ(out->at(0).type.ToString(), "f32[2,2,2]");

  out = EvalOp("qkv_matmul", {x, q, k, v, LeftOut(), Floats({2}, {10, 20}), Floats({1}, {-3})},
               shapes);
  EXPECT_THAT(FloatsOf(out, 0), ElementsAre(1, 2, 3, -1, 3, 4, 7, -1));
  EXPECT_THAT(FloatsOf(out, 1), ElementsAre(12, 24, 16, 28));
  EXPECT_THAT(FloatsOf(out, 2), ElementsAre(0, 4));
}

TEST(QkvMatmul, EqualsMatmulForWeightsOfDifferentFormats) {
  std::vector<float> numbers(3 * kCols);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i % 13) - 6;
  const TestTensor x = Floats({3, kCols}, numbers);
  const TestTensor q = RandomWeight(DType::kQ4_K, {8, kCols}, 1);
  const TestTensor k = RandomWeight(DType::kQ8_0, {4, kCols}, 2);
  const TestTensor v = RandomWeight(DType::kF16, {2, kCols}, 3);
  const TestTensor bias = Floats({8}, {1, 2, 3, 4, 5, 6, 7, 8});
  const auto out =
      EvalOp("qkv_matmul", {x, q, k, v, bias}, HeadShapes({3, 2, 4}, {3, 1, 4}, {3, 1, 2}));
  EXPECT_EQ(FloatsOf(out, 0), FloatsOf(EvalOp("matmul", {x, q, bias})));
  EXPECT_EQ(FloatsOf(out, 1), FloatsOf(EvalOp("matmul", {x, k})));
  EXPECT_EQ(FloatsOf(out, 2), FloatsOf(EvalOp("matmul", {x, v})));
}

TEST(QkvMatmul, Infers) {
  const Dim t = Dim::Symbol("t");
  const std::vector<std::string> operands = {"f32[t,256]", "q4_k[64,256]", "q6_k[32,256]",
                                             "f16[48,256]"};
  EXPECT_EQ(*InferOp("qkv_matmul", operands, HeadShapes({t, 4, 16}, {t, 2, 16}, {t, 2, 24})),
            "f32[t,4,16], f32[t,2,16], f32[t,2,24]");
  EXPECT_EQ(
      InferError("qkv_matmul", operands, HeadShapes({t, 4, 16}, {t, 4, 16}, {t, 2, 24})),
      "'qkv_matmul': attribute k_shape is [t,4,16], expected the t*32 elements of the product "
      "f32[t,32]");
  EXPECT_THAT(InferError("qkv_matmul", operands, HeadShapes({4, 16}, {t, 32}, {t, 48})),
              HasSubstr("q_shape is [4,16], expected the t*64 elements"));
  EXPECT_THAT(InferError("qkv_matmul", operands, HeadShapes({t, 64}, {t, 32}, {t, -2, -24})),
              HasSubstr("v_shape is [t,-2,-24], expected the t*48 elements"));
  EXPECT_EQ(InferError("qkv_matmul", {"f32[t,4]", "f32[8,4]", "f32[8,4]", "f32[8,2]"},
                       HeadShapes({t, 8}, {t, 8}, {t, 8})),
            "'qkv_matmul': v_weight is f32[8,2], expected any[v_out,in] where in=4 (from x)");
  EXPECT_THAT(InferError("qkv_matmul", operands), HasSubstr("needs the attribute 'q_shape'"));
}

TEST(QkvMatmul, CostIsThatOfItsParts) {
  const OpCost cost =
      CostOf("qkv_matmul", {"f32[2,32]", "q8_0[8,32]", "f32[4,32]", "f32[4,32]", "_", "f32[4]"},
             HeadShapes({2, 8}, {2, 4}, {2, 4}));
  EXPECT_EQ(cost.flops, 2 * 2 * 32 * (8 + 4 + 4) + 2 * 4);
  EXPECT_EQ(cost.bytes_read, 2 * 32 * 4 + 8 * 34 + 2 * (4 * 32 * 4) + 4 * 4);
  EXPECT_EQ(cost.bytes_written, 2 * (8 + 4 + 4) * 4);
}

double Silu(double x) { return x / (1 + std::exp(-x)); }

TEST(Glu, IsActivatedGateTimesUp) {
  const TestTensor x = Floats({1, 2}, {1, 2});
  const TestTensor gate = Floats({2, 2}, {1, 0, 0, -1});  // 1, -2
  const TestTensor up = Floats({2, 2}, {1, 1, 3, 0});     // 3, 3
  const Attributes silu = {{"act", "silu"}};
  std::vector<float> out = FloatsOf(EvalOp("glu", {x, gate, up}, silu));
  ASSERT_EQ(out.size(), 2U);
  EXPECT_FLOAT_EQ(out[0], static_cast<float>(Silu(1) * 3));
  EXPECT_FLOAT_EQ(out[1], static_cast<float>(Silu(-2) * 3));

  out = FloatsOf(EvalOp("glu", {x, gate, up, LeftOut(), Floats({2}, {1, -3})}, silu));
  ASSERT_EQ(out.size(), 2U);
  EXPECT_FLOAT_EQ(out[0], static_cast<float>(Silu(1) * 4));
  EXPECT_EQ(out[1], 0);

  out = FloatsOf(EvalOp("glu", {x, gate, up, Floats({2}, {-1, 2})}, {{"act", "gelu"}}));
  EXPECT_THAT(out, ElementsAre(0, 0));  // gelu(0) = 0
}

TEST(Glu, Infers) {
  const Attributes silu = {{"act", "silu"}};
  EXPECT_EQ(*InferOp("glu", {"f32[t,256]", "q4_k[64,256]", "q6_k[64,256]"}, silu), "f32[t,64]");
  EXPECT_EQ(InferError("glu", {"f32[t,4]", "f32[8,4]", "f32[6,4]"}, silu),
            "'glu': up is f32[6,4], expected any[ff,in] where ff=8 (from gate)");
  EXPECT_THAT(InferError("glu", {"f32[t,4]", "f32[8,4]", "f32[8,4]"}),
              HasSubstr("needs the attribute 'act'"));
  EXPECT_THAT(InferError("glu", {"f32[t,4]", "f32[8,4]", "f32[8,4]"}, {{"act", "relu"}}),
              HasSubstr("expected one of silu, gelu"));
}

TEST(Glu, CostIsThatOfItsParts) {
  const OpCost cost =
      CostOf("glu", {"f32[2,4]", "f32[8,4]", "f32[8,4]", "f32[8]"}, {{"act", "silu"}});
  EXPECT_EQ(cost.flops, 2 * (2 * 2 * 4 * 8) + 2 * 8 * (4 + 1 + 1));  // act, product, one bias
  EXPECT_EQ(cost.bytes_read, (2 * 4 + 2 * 8 * 4 + 8) * 4);
  EXPECT_EQ(cost.bytes_written, 2 * 8 * 4);
}

}  // namespace
}  // namespace sluice
