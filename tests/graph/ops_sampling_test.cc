// top_k: numbers by hand, errors, cost, and every backend on rows with what rows may have.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "tests/support/eval.h"
#include "tests/support/top_k.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

EvalResults TopK(const std::vector<float>& x, int64_t k) {
  return EvalOp("top_k", {Floats({1, static_cast<int64_t>(x.size())}, x)}, {{"k", k}});
}

TEST(TopK, IsInFallingOrderAndTiesGoToTheSmallerIndex) {
  const auto out = EvalOp("top_k", {Floats({2, 4}, {1, 3, 2, 3, -1, -4, -1, -9})}, {{"k", 3}});
  EXPECT_THAT(FloatsOf(out, 0), ElementsAre(3, 3, 2, -1, -1, -4));
  EXPECT_THAT(IntsOf(out, 1), ElementsAre(1, 3, 2, 0, 2, 1));
}

TEST(TopK, OneIsTheIndexOfTheLargest) {
  EXPECT_THAT(IntsOf(TopK({-kInf, -5, -2, -2}, 1), 1), ElementsAre(2));
  EXPECT_THAT(IntsOf(TopK({7}, 1), 1), ElementsAre(0));
}

TEST(TopK, ZerosAreEqualWhateverTheirSign) {
  EXPECT_THAT(IntsOf(TopK({-0.0F, 0.0F, -1, 0.0F}, 3), 1), ElementsAre(0, 1, 3));
}

TEST(TopK, WhatIsNoNumberComesFirst) {
  const auto out = TopK({5, kInf, kNaN, 7, kInf}, 4);
  EXPECT_THAT(IntsOf(out, 1), ElementsAre(1, 2, 4, 3));
  EXPECT_TRUE(std::isnan(FloatsOf(out, 0)[1]));
}

TEST(TopK, ARowMayHaveNothingFinite) {
  const auto out = TopK({-kInf, -kInf, -kInf}, 2);
  EXPECT_THAT(FloatsOf(out, 0), ElementsAre(-kInf, -kInf));
  EXPECT_THAT(IntsOf(out, 1), ElementsAre(0, 1));
}

TEST(TopK, RefusesMoreThanThereIs) {
  EXPECT_EQ(*InferOp("top_k", {"f32[t,8]"}, {{"k", 8}}), "f32[t,8], i32[t,8]");
  for (const int64_t k : {0, 9}) {
    EXPECT_THAT(InferError("top_k", {"f32[t,8]"}, {{"k", k}}), HasSubstr("expected 1..8")) << k;
  }
  EXPECT_THAT(InferError("top_k", {"f32[8,t]"}, {{"k", 1}}), HasSubstr("t"));
}

TEST(TopK, CostsOnePassOverItsRows) {
  const OpCost cost = CostOf("top_k", {"f32[2,100]"}, {{"k", 5}});
  EXPECT_EQ(cost.flops, 200);
  EXPECT_EQ(cost.bytes_read, 800);
  EXPECT_EQ(cost.bytes_written, 80);
}

TEST(TopK, TheCpuChoosesAsTheReferenceDoes) {
  for (const int threads : {1, 3}) ExpectTopKOfTheReference(*MakeCpuBackend({.threads = threads}));
}

}  // namespace
}  // namespace sluice
