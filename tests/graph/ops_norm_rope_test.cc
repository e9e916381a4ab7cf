// rms_norm, layer_norm, rope, the rotation speeds behind it and the ops fused around them: numbers
// by hand, scaling, errors, cost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "graph/ops/rope_frequencies.h"
#include "tests/support/eval.h"

namespace sluice {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::FloatEq;
using testing::HasSubstr;
using testing::Pointwise;

// --- rms_norm -------------------------------------------------------------------------------

TEST(RmsNorm, DividesByTheRootMeanSquare) {
  // Mean squares 25 and 4; with eps 11 and 32 more under the root: 6, and sqrt(4 + 11).
  const TestTensor x = Floats({2, 2}, {1, 7, 2, -2});
  const float root15 = std::sqrt(15.0F);
  EXPECT_THAT(
      FloatsOf(EvalOp("rms_norm", {x}, {{"eps", 11.0}})),
      ElementsAre(FloatEq(1 / 6.0F), FloatEq(7 / 6.0F), FloatEq(2 / root15), FloatEq(-2 / root15)));
}

TEST(RmsNorm, MultipliesByTheWeight) {
  const TestTensor x = Floats({1, 1, 2}, {1, 7});
  EXPECT_THAT(FloatsOf(EvalOp("rms_norm", {x, Floats({2}, {3, -6})}, {{"eps", 11.0}})),
              ElementsAre(FloatEq(0.5F), FloatEq(-7)));
}

TEST(RmsNorm, KeepsZeroRowsZero) {
  EXPECT_THAT(FloatsOf(EvalOp("rms_norm", {Floats({2}, {0, 0})}, {{"eps", 1e-6}})),
              ElementsAre(0, 0));
}

TEST(RmsNorm, AccumulatesInDouble) {
  // A float sum would stay at 2^24, whatever number of ones comes after.
  constexpr int64_t kOnes = 65536;
  std::vector<float> x(1 + kOnes, 1.0F);
  x[0] = 4096;
  const auto out = FloatsOf(EvalOp("rms_norm", {Floats({1 + kOnes}, x)}, {{"eps", 1e-9}}));
  const double mean_square = (0x1p24 + kOnes) / (1 + kOnes);
  ASSERT_EQ(out.size(), x.size());
  EXPECT_FLOAT_EQ(out[1], static_cast<float>(1 / std::sqrt(mean_square)));
}

TEST(RmsNorm, Infers) {
  const Attributes attrs = {{"eps", 1e-5}};
  EXPECT_EQ(*InferOp("rms_norm", {"f32[t,4,8]", "f32[8]"}, attrs), "f32[t,4,8]");
  EXPECT_EQ(*InferOp("rms_norm", {"f32[t,8]"}, attrs), "f32[t,8]");
  EXPECT_THAT(InferError("rms_norm", {"f32[t,8]", "f32[4]"}, attrs),
              HasSubstr("weight is f32[4], expected f32[d] where d=8 (from x)"));
  EXPECT_THAT(InferError("rms_norm", {"f16[t,8]"}, attrs), HasSubstr("x is f16[t,8]"));
}

TEST(RmsNorm, RefusesABadEpsilon) {
  for (const double eps : {0.0, -1e-5, std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_EQ(InferError("rms_norm", {"f32[t,8]"}, {{"eps", eps}}),
              "'rms_norm': attribute eps is " + ToString(AttrValue(eps)) +
                  ", expected a finite number above 0");
  }
  EXPECT_THAT(InferError("rms_norm", {"f32[t,8]"}, {}), HasSubstr("needs the attribute 'eps'"));
}

TEST(RmsNorm, Cost) {
  const OpCost cost = CostOf("rms_norm", {"f32[3,8]", "f32[8]"}, {{"eps", 1e-5}});
  EXPECT_EQ(cost.flops, 4 * 24);
  EXPECT_EQ(cost.bytes_read, (24 + 8) * 4);
  EXPECT_EQ(cost.bytes_written, 24 * 4);
}

// --- layer_norm -----------------------------------------------------------------------------

TEST(LayerNorm, DividesWhatIsLeftWithoutTheMean) {
  // Means 4 and -1, variances 9 and 0; with eps 16: 5, and 4.
  const TestTensor x = Floats({2, 2}, {1, 7, -1, -1});
  EXPECT_THAT(FloatsOf(EvalOp("layer_norm", {x}, {{"eps", 16.0}})),
              ElementsAre(FloatEq(-0.6F), FloatEq(0.6F), 0, 0));
}

TEST(LayerNorm, GainAndBiasMayBeLeftOut) {
  const TestTensor x = Floats({1, 1, 2}, {1, 7}), gain = Floats({2}, {10, -5});
  const TestTensor bias = Floats({2}, {100, 200});
  const Attributes attrs = {{"eps", 16.0}};
  EXPECT_THAT(FloatsOf(EvalOp("layer_norm", {x, gain}, attrs)),
              ElementsAre(FloatEq(-6), FloatEq(-3)));
  EXPECT_THAT(FloatsOf(EvalOp("layer_norm", {x, gain, bias}, attrs)),
              ElementsAre(FloatEq(94), FloatEq(197)));
  EXPECT_THAT(FloatsOf(EvalOp("layer_norm", {x, LeftOut(), bias}, attrs)),
              ElementsAre(FloatEq(99.4F), FloatEq(200.6F)));
}

TEST(LayerNorm, KeepsItsDigitsWhereTheMeanIsLarge) {
  // Squares of 2^20 + 1 need 41 bits: their sum less the mean's square would lose the variance.
  const TestTensor x = Floats({2}, {0x1p20F - 1, 0x1p20F + 1});
  EXPECT_THAT(FloatsOf(EvalOp("layer_norm", {x}, {{"eps", 1e-12}})),
              ElementsAre(FloatEq(-1), FloatEq(1)));
}

TEST(LayerNorm, InfersAndRefuses) {
  const Attributes attrs = {{"eps", 1e-5}};
  EXPECT_EQ(*InferOp("layer_norm", {"f32[t,4,8]", "f32[8]", "f32[8]"}, attrs), "f32[t,4,8]");
  EXPECT_EQ(*InferOp("layer_norm", {"f32[t,8]", "_", "f32[8]"}, attrs), "f32[t,8]");
  EXPECT_THAT(InferError("layer_norm", {"f32[t,8]", "f32[8]", "f32[4]"}, attrs),
              HasSubstr("bias is f32[4], expected f32[d] where d=8 (from x)"));
  EXPECT_EQ(InferError("layer_norm", {"f32[t,8]"}, {{"eps", 0.0}}),
            "'layer_norm': attribute eps is 0.0, expected a finite number above 0");
}

TEST(LayerNorm, Cost) {
  const OpCost cost = CostOf("layer_norm", {"f32[3,8]", "f32[8]", "f32[8]"}, {{"eps", 1e-5}});
  EXPECT_EQ(cost.flops, 7 * 24);
  EXPECT_EQ(cost.bytes_read, (24 + 8 + 8) * 4);
  EXPECT_EQ(cost.bytes_written, 24 * 4);
}

// --- add_rms_norm ---------------------------------------------------------------------------

TEST(AddRmsNorm, GivesTheSumAndItsNorm) {
  const TestTensor a = Floats({1, 2}, {3, 2}), b = Floats({1, 2}, {-2, 5});
  auto out = EvalOp("add_rms_norm", {a, b, Floats({2}, {3, -6})}, {{"eps", 11.0}});
  EXPECT_THAT(FloatsOf(out, 0), ElementsAre(1, 7));
  EXPECT_THAT(FloatsOf(out, 1), ElementsAre(FloatEq(0.5F), FloatEq(-7)));
  out = EvalOp("add_rms_norm", {a, b}, {{"eps", 11.0}});
  EXPECT_THAT(FloatsOf(out, 1), ElementsAre(FloatEq(1 / 6.0F), FloatEq(7 / 6.0F)));
}

TEST(AddRmsNorm, InfersAndCosts) {
  const Attributes attrs = {{"eps", 1e-5}};
  EXPECT_EQ(*InferOp("add_rms_norm", {"f32[t,8]", "f32[t,8]", "f32[8]"}, attrs),
            "f32[t,8], f32[t,8]");
  EXPECT_EQ(InferError("add_rms_norm", {"f32[t,8]", "f32[8]"}, attrs),
            "'add_rms_norm': b is f32[8], expected f32[...,d] where ... = t (from a)");
  EXPECT_EQ(InferError("add_rms_norm", {"f32[t,8]", "f32[t,4]"}, attrs),
            "'add_rms_norm': b is f32[t,4], expected f32[...,d] where d=8 (from a)");
  EXPECT_EQ(InferError("add_rms_norm", {"f32[t,8]", "f32[t,8]"}, {{"eps", 0.0}}),
            "'add_rms_norm': attribute eps is 0.0, expected a finite number above 0");
  const OpCost cost = CostOf("add_rms_norm", {"f32[3,8]", "f32[3,8]", "f32[8]"}, attrs);
  EXPECT_EQ(cost.flops, 5 * 24);
  EXPECT_EQ(cost.bytes_read, (2 * 24 + 8) * 4);
  EXPECT_EQ(cost.bytes_written, 2 * 24 * 4);
}

// --- Rotation speeds ------------------------------------------------------------------------

// Eight dimensions of base 10^4: the plain speeds are 1, 0.1, 0.01 and 0.001.
RopeParams Params(RopeParams::Scaling scaling) {
  return {.dims = 8, .scaling = scaling, .factor = 4.0, .original_context = 2048};
}

std::vector<double> InverseOf(const RopeParams& params, const std::vector<float>& factors = {}) {
  const auto frequencies = ComputeRopeFrequencies(params, factors);
  EXPECT_TRUE(frequencies.ok()) << frequencies.status();
  return frequencies.ok() ? frequencies->inverse : std::vector<double>{};
}

double MagnitudeOf(const RopeParams& params) {
  return ComputeRopeFrequencies(params, {}).value_or(RopeFrequencies{}).magnitude;
}

// Everything is computed in double: a few units in its last place.
auto IsNear(const std::vector<double>& expected) { return Pointwise(DoubleNear(1e-15), expected); }

TEST(RopeFrequencies, NoneIsAGeometricSeries) {
  const RopeParams params = Params(RopeParams::Scaling::kNone);
  EXPECT_THAT(InverseOf(params), IsNear({1, 0.1, 0.01, 0.001}));
  EXPECT_EQ(MagnitudeOf(params), 1);
}

TEST(RopeFrequencies, LinearDividesEveryPair) {
  const RopeParams params = Params(RopeParams::Scaling::kLinear);
  EXPECT_THAT(InverseOf(params), IsNear({0.25, 0.025, 0.0025, 0.00025}));
  EXPECT_EQ(MagnitudeOf(params), 1);
}

// With these dims and base pair(r), the pair that turns r times in the context, is
// log10(original_context / (2 pi r)).
TEST(RopeFrequencies, YarnDividesSlowPairs) {
  // pair(32) = 1.008, so low = 1; pair(1) = 2.513, so high = 3: pairs 0 and 1 keep their speed,
  // pair 2 lies half way up the ramp, pair 3 is divided by 4.
  const RopeParams params = Params(RopeParams::Scaling::kYarn);
  EXPECT_THAT(InverseOf(params), IsNear({1, 0.1, 0.01 * (0.5 / 4 + 0.5), 0.00025}));
  EXPECT_DOUBLE_EQ(MagnitudeOf(params), 1 + 0.1 * std::log(4.0));
}

TEST(RopeFrequencies, YarnRampIsClampedAtPairZero) {
  RopeParams params = Params(RopeParams::Scaling::kYarn);
  params.original_context = 64;  // pair(32) = -0.497, pair(1) = 1.008: a ramp from 0 to 2
  EXPECT_THAT(InverseOf(params), IsNear({1, 0.1 * (0.5 / 4 + 0.5), 0.0025, 0.00025}));
}

TEST(RopeFrequencies, YarnRampMayEndBeyondTheLastPair) {
  RopeParams params = Params(RopeParams::Scaling::kYarn);
  params.original_context = 80000;  // pair(32) = 2.600, pair(1) = 4.105: a ramp from 2 to 5
  EXPECT_THAT(InverseOf(params), IsNear({1, 0.1, 0.01, 0.001 * (1 / 12.0 + 2 / 3.0)}));
  params.original_context = int64_t{1} << 30;  // pair(32) = 6.7: all pairs are fast
  EXPECT_THAT(InverseOf(params), IsNear({1, 0.1, 0.01, 0.001}));
}

TEST(RopeFrequencies, YarnRampOfNoWidthIsAStep) {
  RopeParams params = Params(RopeParams::Scaling::kYarn);
  params.original_context = 4;  // pair(1) = -0.196: low and high are both 0
  EXPECT_THAT(InverseOf(params), IsNear({1, 0.025, 0.0025, 0.00025}));
}

TEST(RopeFrequencies, ExtFactorMixesYarnWithLinear) {
  RopeParams params = Params(RopeParams::Scaling::kYarn);
  params.ext_factor = 0.5;
  EXPECT_THAT(InverseOf(params), IsNear({0.625, 0.0625, 0.004375, 0.00025}));
  EXPECT_DOUBLE_EQ(MagnitudeOf(params), 1 + 0.1 * std::log(4.0));
  params.ext_factor = 0;
  EXPECT_THAT(InverseOf(params), IsNear({0.25, 0.025, 0.0025, 0.00025}));
  EXPECT_EQ(MagnitudeOf(params), 1);
}

TEST(RopeFrequencies, AttnFactorScalesTheMagnitudeAlways) {
  for (const auto scaling : {RopeParams::Scaling::kNone, RopeParams::Scaling::kLinear}) {
    RopeParams params = Params(scaling);
    params.attn_factor = 1.25;
    EXPECT_EQ(MagnitudeOf(params), 1.25);
  }
  RopeParams params = Params(RopeParams::Scaling::kYarn);
  params.attn_factor = 1.25;
  EXPECT_DOUBLE_EQ(MagnitudeOf(params), 1.25 * (1 + 0.1 * std::log(4.0)));
}

TEST(RopeFrequencies, YarnOfFactorOneChangesNothing) {
  RopeParams params = Params(RopeParams::Scaling::kYarn);
  params.factor = 1;
  EXPECT_THAT(InverseOf(params), IsNear({1, 0.1, 0.01, 0.001}));
  EXPECT_EQ(MagnitudeOf(params), 1);
}

TEST(RopeFrequencies, FactorsDivideBeforeScaling) {
  const std::vector<float> factors = {1, 2, 4, 8};
  EXPECT_THAT(InverseOf(Params(RopeParams::Scaling::kNone), factors),
              IsNear({1, 0.05, 0.0025, 0.000125}));
  EXPECT_THAT(InverseOf(Params(RopeParams::Scaling::kYarn), factors),
              IsNear({1, 0.05, 0.0025 * 0.625, 0.000125 / 4}));
}

TEST(RopeFrequencies, RefusesFactorsThatAreNoDivisors) {
  for (const float bad : {0.0F, -1.0F, std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity()}) {
    const auto frequencies =
        ComputeRopeFrequencies(Params(RopeParams::Scaling::kNone), {1, 1, bad, 1});
    EXPECT_EQ(frequencies.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(frequencies.status().message()),
                testing::AllOf(HasSubstr("freq_factors[2] is "),
                               HasSubstr("expected a finite number above 0")));
  }
}

// --- rope -----------------------------------------------------------------------------------

Attributes RopeAttrs(const char* style, int64_t dims) {
  return {{"style", style}, {"dims", dims}, {"base", 100.0}};
}

// Element a or b of the pair (a, b) turned by `angle`.
auto First(double a, double b, double angle) {
  return FloatEq(static_cast<float>(a * std::cos(angle) - b * std::sin(angle)));
}
auto Second(double a, double b, double angle) {
  return FloatEq(static_cast<float>(a * std::sin(angle) + b * std::cos(angle)));
}

TEST(Rope, NeoxPairsTheHalves) {
  // Base 1000, six dimensions: the pairs turn by 1, 0.1 and 0.01 per position.
  Attributes attrs = RopeAttrs("neox", 6);
  attrs.Set("base", 1000.0);
  const auto out = EvalOp("rope", {Floats({1, 1, 6}, {1, 2, 3, 4, 5, 6}), Ints({1}, {2})}, attrs);
  EXPECT_THAT(FloatsOf(out), ElementsAre(First(1, 4, 2), First(2, 5, 0.2), First(3, 6, 0.02),
                                         Second(1, 4, 2), Second(2, 5, 0.2), Second(3, 6, 0.02)));
}

TEST(Rope, InterleavedPairsNeighbours) {
  const auto out = EvalOp("rope", {Floats({1, 1, 4}, {1, 2, 3, 4}), Ints({1}, {2})},
                          RopeAttrs("interleaved", 4));
  EXPECT_THAT(FloatsOf(out),
              ElementsAre(First(1, 2, 2), Second(1, 2, 2), First(3, 4, 0.2), Second(3, 4, 0.2)));
}

TEST(Rope, EveryHeadTurnsByItsTokensPosition) {
  const TestTensor x = Floats({2, 2, 2}, {1, 0, 0, 1, 1, 0, 0, 1});
  const auto out = EvalOp("rope", {x, Ints({2}, {0, 3})}, RopeAttrs("neox", 2));
  EXPECT_THAT(FloatsOf(out), ElementsAre(1, 0, 0, 1, First(1, 0, 3), Second(1, 0, 3),
                                         First(0, 1, 3), Second(0, 1, 3)));
}

TEST(Rope, CopiesWhatIsNotRotated) {
  const TestTensor x = Floats({1, 1, 5}, {1, 2, 3, 4, 5});
  Attributes attrs = RopeAttrs("neox", 2);
  attrs.Set("attn_factor", 2.0);  // scales the rotated part only
  EXPECT_THAT(FloatsOf(EvalOp("rope", {x, Ints({1}, {1})}, attrs)),
              ElementsAre(First(2, 4, 1), Second(2, 4, 1), 3, 4, 5));
  // Half of the rotated dimensions, not of the head, lies between the parts of a neox pair.
  EXPECT_THAT(FloatsOf(EvalOp("rope", {x, Ints({1}, {1})}, RopeAttrs("neox", 4))),
              ElementsAre(First(1, 3, 1), First(2, 4, 0.1), Second(1, 3, 1), Second(2, 4, 0.1), 5));
}

TEST(Rope, ScalingReachesTheRotation) {
  const TestTensor x = Floats({1, 1, 2}, {1, 2});
  Attributes attrs = RopeAttrs("neox", 2);
  attrs.Set("scaling", "linear");
  attrs.Set("factor", 4.0);
  EXPECT_THAT(FloatsOf(EvalOp("rope", {x, Ints({1}, {8})}, attrs)),
              ElementsAre(First(1, 2, 2), Second(1, 2, 2)));
  // The only pair turns fast enough for yarn to keep it; the magnitude grows.
  attrs.Set("scaling", "yarn");
  attrs.Set("original_context", int64_t{4096});
  const double magnitude = 1 + 0.1 * std::log(4.0);
  EXPECT_THAT(FloatsOf(EvalOp("rope", {x, Ints({1}, {8})}, attrs)),
              ElementsAre(First(magnitude, 2 * magnitude, 8), Second(magnitude, 2 * magnitude, 8)));
}

TEST(Rope, FrequencyFactorsDivideTheAngle) {
  const TestTensor x = Floats({1, 1, 4}, {1, 2, 3, 4});
  EXPECT_THAT(FloatsOf(EvalOp("rope", {x, Ints({1}, {6}), Floats({2}, {2, 3})},
                              RopeAttrs("interleaved", 4))),
              ElementsAre(First(1, 2, 3), Second(1, 2, 3), First(3, 4, 0.2), Second(3, 4, 0.2)));
  const auto bad = EvalOp("rope", {x, Ints({1}, {6}), Floats({2}, {2, 0})}, RopeAttrs("neox", 4));
  EXPECT_EQ(ErrorOf(bad), "'rope': freq_factors[1] is 0, expected a finite number above 0");
}

TEST(Rope, ScoresDependOnDistanceOnly) {
  const std::vector<float> q = {0.5F, -1, 2, 0.25F}, k = {1, 3, -0.5F, 2};
  for (const char* style : {"neox", "interleaved"}) {
    const auto score = [&](int32_t q_position, int32_t k_position) {
      const auto turned_q = FloatsOf(
          EvalOp("rope", {Floats({1, 1, 4}, q), Ints({1}, {q_position})}, RopeAttrs(style, 4)));
      const auto turned_k = FloatsOf(
          EvalOp("rope", {Floats({1, 1, 4}, k), Ints({1}, {k_position})}, RopeAttrs(style, 4)));
      double sum = 0;
      for (size_t i = 0; i < 4; ++i) sum += static_cast<double>(turned_q[i]) * turned_k[i];
      return sum;
    };
    // Results are rounded to float: four products of size up to 6.
    EXPECT_NEAR(score(7, 3), score(1004, 1000), 4e-6) << style;
    EXPECT_GT(std::fabs(score(7, 3) - score(7, 4)), 0.1) << style;
  }
}

TEST(Rope, Infers) {
  EXPECT_EQ(*InferOp("rope", {"f32[t,4,8]", "i32[t]"}, RopeAttrs("neox", 8)), "f32[t,4,8]");
  EXPECT_EQ(*InferOp("rope", {"f32[t,4,8]", "i32[t]", "f32[2]"}, RopeAttrs("neox", 4)),
            "f32[t,4,8]");
  EXPECT_THAT(InferError("rope", {"f32[t,4,8]", "i32[7]"}, RopeAttrs("neox", 8)),
              HasSubstr("positions is i32[7], expected i32[t] where t=t (from x)"));
  EXPECT_THAT(InferError("rope", {"f32[t,4,8]", "i32[t]", "f32[8]"}, RopeAttrs("neox", 8)),
              HasSubstr("freq_factors is f32[8], expected f32[dims/2] where dims/2=4"));
  EXPECT_THAT(InferError("rope", {"f32[t,32]", "i32[t]"}, RopeAttrs("neox", 8)),
              HasSubstr("x is f32[t,32], expected f32[t,heads,d]"));
  EXPECT_THAT(InferError("rope", {"f32[t,4,n]", "i32[t]"}, RopeAttrs("neox", 8)),
              HasSubstr("dimension d is n, expected a constant"));
}

TEST(Rope, RefusesBadAttributes) {
  const auto error = [](absl::string_view name, AttrValue value, bool yarn = false) {
    Attributes attrs = RopeAttrs("neox", 8);
    if (yarn) {
      attrs.Set("scaling", "yarn");
      attrs.Set("original_context", int64_t{2048});
    }
    attrs.Set(name, std::move(value));
    return InferError("rope", {"f32[t,4,8]", "i32[t]"}, attrs);
  };
  for (const int64_t dims : {int64_t{-2}, int64_t{0}, int64_t{7}, int64_t{10}}) {
    EXPECT_EQ(error("dims", dims), "'rope': attribute dims is " + std::to_string(dims) +
                                       ", expected an even number in 2..8, the size of a head");
  }
  for (const char* name : {"base", "factor", "attn_factor", "beta_fast", "beta_slow"}) {
    for (const double bad : {0.0, -1.0, std::numeric_limits<double>::infinity(),
                             std::numeric_limits<double>::quiet_NaN()}) {
      EXPECT_THAT(error(name, bad),
                  testing::AllOf(HasSubstr(std::string("attribute ") + name + " is "),
                                 HasSubstr("expected a finite number above 0")));
    }
  }
  EXPECT_THAT(error("ext_factor", -1.0), HasSubstr("expected a finite number of at least 0"));
  EXPECT_THAT(error("style", "gptj"), HasSubstr("expected one of neox, interleaved"));
  EXPECT_THAT(error("scaling", "longrope"), HasSubstr("expected one of none, linear, yarn"));
  EXPECT_THAT(error("original_context", int64_t{0}, /*yarn=*/true),
              HasSubstr("attribute original_context is 0, expected a number of tokens above 0"));
  EXPECT_THAT(error("base", 1.0, /*yarn=*/true), HasSubstr("expected a number above 1"));
  EXPECT_THAT(error("beta_slow", 33.0, /*yarn=*/true),
              HasSubstr("attribute beta_slow is 33.0, expected at most beta_fast, which is 32"));
}

TEST(Rope, Cost) {
  const OpCost cost = CostOf("rope", {"f32[3,2,8]", "i32[3]"}, RopeAttrs("neox", 4));
  EXPECT_EQ(cost.flops, 6 * 3 * 2 * 2);
  EXPECT_EQ(cost.bytes_read, (3 * 2 * 8 + 3) * 4);
  EXPECT_EQ(cost.bytes_written, 3 * 2 * 8 * 4);
}

// --- qk_norm_rope, qk_norm_rope_append -------------------------------------------------------

// Two tokens with two heads of q, one head of k and v; four dimensions.
struct QkvCase {
  TestTensor q = Floats({2, 2, 4}, {1, 2, 3, 4, -1, 0.5F, 2, 1, 0, 1, 0, -1, 4, 3, 2, 1});
  TestTensor k = Floats({2, 1, 4}, {2, -2, 1, 1, 0.5F, 3, -1, 2});
  TestTensor v = Floats({2, 1, 2}, {7, 8, 9, 10});
  TestTensor positions = Ints({2}, {3, 11});
  TestTensor q_norm = Floats({4}, {1, 2, 3, 4});
  TestTensor k_norm = Floats({4}, {-1, 1, 0.5F, 2});
  TestTensor freq_factors = Floats({2}, {2, 0.5F});
};

Attributes NormRopeAttrs(const char* style) {
  return {{"style", style},     {"dims", 4},         {"base", 100.0},
          {"eps", 0.25},        {"factor", 2.0},     {"scaling", "yarn"},
          {"attn_factor", 0.5}, {"beta_fast", 20.0}, {"original_context", 64}};
}

// The heads normed, if there is a weight, and rotated: by rms_norm and rope.
std::vector<float> NormedAndRotated(const QkvCase& c, TestTensor heads, const TestTensor& weight,
                                    const TestTensor& freq_factors, Attributes attrs) {
  attrs.Erase("eps");
  if (!weight.pieces.empty()) {
    const auto normed = EvalOp("rms_norm", {heads, weight}, {{"eps", 0.25}});
    EXPECT_TRUE(normed.ok()) << normed.status();
    heads = normed->at(0);
  }
  return FloatsOf(EvalOp("rope", {heads, c.positions, freq_factors}, attrs));
}

TEST(QkNormRope, IsRopeOfTheNorms) {
  const QkvCase c;
  for (const char* style : {"neox", "interleaved"}) {
    const Attributes attrs = NormRopeAttrs(style);
    for (const TestTensor& q_norm : {c.q_norm, LeftOut()}) {
      for (const TestTensor& k_norm : {c.k_norm, LeftOut()}) {
        for (const TestTensor& factors : {c.freq_factors, LeftOut()}) {
          const auto out =
              EvalOp("qk_norm_rope", {c.q, c.k, c.positions, q_norm, k_norm, factors}, attrs);
          EXPECT_EQ(FloatsOf(out, 0), NormedAndRotated(c, c.q, q_norm, factors, attrs));
          EXPECT_EQ(FloatsOf(out, 1), NormedAndRotated(c, c.k, k_norm, factors, attrs));
        }
      }
    }
  }
}

TEST(QkNormRope, Infers) {
  const Attributes attrs = RopeAttrs("neox", 8);
  EXPECT_EQ(*InferOp("qk_norm_rope", {"f32[t,4,8]", "f32[t,2,8]", "i32[t]", "_", "f32[8]"}, attrs),
            "f32[t,4,8], f32[t,2,8]");
  EXPECT_EQ(InferError("qk_norm_rope", {"f32[t,4,8]", "f32[t,2,4]", "i32[t]"}, attrs),
            "'qk_norm_rope': k is f32[t,2,4], expected f32[t,Hkv,D] where D=8 (from q)");
  EXPECT_EQ(InferError("qk_norm_rope", {"f32[t,4,8]", "f32[t,2,8]", "i32[t]", "f32[4]"}, attrs),
            "'qk_norm_rope': q_norm is f32[4], expected f32[D] where D=8 (from q)");
  EXPECT_EQ(
      InferError("qk_norm_rope", {"f32[t,4,8]", "f32[t,2,8]", "i32[t]"}, RopeAttrs("neox", 10)),
      "'qk_norm_rope': attribute dims is 10, expected an even number in 2..8, the size of a "
      "head");
  Attributes no_eps = attrs;
  no_eps.Set("eps", 0.0);
  EXPECT_EQ(InferError("qk_norm_rope", {"f32[t,4,8]", "f32[t,2,8]", "i32[t]"}, no_eps),
            "'qk_norm_rope': attribute eps is 0.0, expected a finite number above 0");
}

TEST(QkNormRope, Cost) {
  const OpCost cost = CostOf("qk_norm_rope", {"f32[3,2,8]", "f32[3,1,8]", "i32[3]", "f32[8]"},
                             RopeAttrs("neox", 4));
  EXPECT_EQ(cost.flops, 4 * 3 * 2 * 8 + 6 * 3 * (2 + 1) * 2);  // one norm, rotation of three heads
  EXPECT_EQ(cost.bytes_read, (3 * (2 + 1) * 8 + 3 + 8) * 4);
  EXPECT_EQ(cost.bytes_written, 3 * (2 + 1) * 8 * 4);
}

// Empty caches of two blocks with two slots each.
TestTensor EmptyCache(int64_t width) {
  return AsState(
      Floats({2, 1, 2, width}, std::vector<float>(4 * static_cast<size_t>(width), -5.0F)));
}

TEST(QkNormRopeAppend, StoresTheRotatedKeysAndTheValues) {
  const QkvCase c;
  const TestTensor slots = Ints({2}, {3, 0});
  for (const char* style : {"neox", "interleaved"}) {
    const Attributes attrs = NormRopeAttrs(style);
    for (const TestTensor& k_norm : {c.k_norm, LeftOut()}) {
      const auto rotated =
          EvalOp("qk_norm_rope", {c.q, c.k, c.positions, c.q_norm, k_norm, c.freq_factors}, attrs);
      ASSERT_TRUE(rotated.ok()) << rotated.status();
      const auto appended =
          EvalOp("kv_append", {EmptyCache(4), EmptyCache(2), rotated->at(1), c.v, slots});
      const auto out = EvalOp("qk_norm_rope_append",
                              {EmptyCache(4), EmptyCache(2), c.q, c.k, c.v, c.positions, slots,
                               c.q_norm, k_norm, c.freq_factors},
                              attrs);
      EXPECT_EQ(FloatsOf(out, 0), FloatsOf(rotated, 0));
      EXPECT_EQ(FloatsOf(out, 1), FloatsOf(appended, 0));
      EXPECT_THAT(FloatsOf(out, 2), ElementsAre(9, 10, -5, -5, -5, -5, 7, 8));
    }
  }
}

TEST(QkNormRopeAppend, RejectsSlotsOutsideTheCache) {
  const QkvCase c;
  EXPECT_EQ(
      ErrorOf(EvalOp("qk_norm_rope_append",
                     {EmptyCache(4), EmptyCache(2), c.q, c.k, c.v, c.positions, Ints({2}, {3, 4})},
                     NormRopeAttrs("neox"))),
      "'kv_append': slots[1] is 4, expected 0 <= index < 4");
}

TEST(QkNormRopeAppend, Infers) {
  const std::vector<std::string> operands = {"state<f16[blocks,2,16,8]>",
                                             "state<f32[blocks,2,16,4]>",
                                             "f32[t,4,8]",
                                             "f32[t,2,8]",
                                             "f32[t,2,4]",
                                             "i32[t]",
                                             "i32[t]"};
  const Attributes attrs = RopeAttrs("neox", 8);
  EXPECT_EQ(*InferOp("qk_norm_rope_append", operands, attrs),
            "f32[t,4,8], state<f16[blocks,2,16,8]>, state<f32[blocks,2,16,4]>");
  const auto error = [&](size_t operand, const char* type) {
    std::vector<std::string> changed = operands;
    changed[operand] = type;
    return InferError("qk_norm_rope_append", changed, attrs);
  };
  EXPECT_EQ(error(3, "f32[t,4,8]"),
            "'qk_norm_rope_append': k is f32[t,4,8], expected f32[t,Hkv,D] where Hkv=2 (from "
            "k_cache)");
  EXPECT_THAT(error(0, "f16[blocks,2,16,8]"), HasSubstr("expected state<f32|f16|bf16"));
  EXPECT_THAT(error(1, "state<f32[blocks,2,8,4]>"), HasSubstr("where block_size=16"));
  EXPECT_THAT(error(6, "i32[7]"), HasSubstr("slots is i32[7], expected i32[t]"));
}

TEST(QkNormRopeAppend, CostCountsTheRowsOfTheCacheThatAreWritten) {
  const OpCost cost = CostOf("qk_norm_rope_append",
                             {"state<f16[9,1,16,8]>", "state<f32[9,1,16,4]>", "f32[3,2,8]",
                              "f32[3,1,8]", "f32[3,1,4]", "i32[3]", "i32[3]", "_", "f32[8]"},
                             RopeAttrs("neox", 4));
  EXPECT_EQ(cost.flops, 4 * 3 * 8 + 6 * 3 * (2 + 1) * 2);
  EXPECT_EQ(cost.bytes_read, (3 * 2 * 8 + 3 * 8 + 3 * 4 + 3 + 3 + 8) * 4);
  EXPECT_EQ(cost.bytes_written, 3 * 2 * 8 * 4 + 3 * 8 * 2 + 3 * 4 * 4);
}

}  // namespace
}  // namespace sluice
