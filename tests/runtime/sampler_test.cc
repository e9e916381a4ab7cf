#include "runtime/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>

namespace sluice {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

SamplerOptions Plain(double temperature = 1) {
  return {.temperature = temperature, .top_k = 0, .top_p = 1, .min_p = 0};
}

// How often each token comes up in `draws` draws.
std::map<int32_t, int> Counts(const SamplerOptions& options, const std::vector<float>& logits,
                              int draws = 20000) {
  Sampler sampler(options);
  std::map<int32_t, int> counts;
  for (int i = 0; i < draws; ++i) ++counts[sampler.Sample(logits).value()];
  return counts;
}

TEST(ArgMax, TakesTheFirstOfEqualValues) {
  EXPECT_EQ(ArgMax({1, 3, 3, 2}).value(), 1);
  EXPECT_EQ(ArgMax({-kInf, -5, -kInf}).value(), 1);
}

TEST(ArgMax, RefusesWhatIsNotFinite) {
  EXPECT_THAT(ArgMax({1, std::nanf(""), 2}).status().message(),
              testing::HasSubstr("token 1 is NaN"));
  EXPECT_THAT(ArgMax({1, kInf}).status().message(), testing::HasSubstr("token 1 is inf"));
  EXPECT_THAT(ArgMax({-kInf, -kInf}).status().message(), testing::HasSubstr("no logit is finite"));
  EXPECT_FALSE(ArgMax({}).ok());
}

TEST(Sampler, GreedyAtTemperatureZeroWhateverTheFilters) {
  SamplerOptions options = {.temperature = 0, .top_k = 3, .typical_p = 0.1};
  EXPECT_EQ(Sampler(options).Sample({0, 5, 4}).value(), 1);
}

TEST(Sampler, DrawsWithTheSoftmaxProbabilities) {
  // p = 0.5, 0.3, 0.2. 20000 draws: the standard deviation of a count is at most 71; five of them
  // are 355, which a right sampler misses once in 1.7 million; the seed makes it repeatable.
  const auto counts = Counts(Plain(), {std::log(0.5f), std::log(0.3f), std::log(0.2f)});
  EXPECT_NEAR(counts.at(0), 10000, 355);
  EXPECT_NEAR(counts.at(1), 6000, 355);
  EXPECT_NEAR(counts.at(2), 4000, 355);
}

TEST(Sampler, TemperatureSharpensAndFlattens) {
  // At temperature 0.5 probabilities are squared: 0.25/0.38, 0.09/0.38, 0.04/0.38.
  const auto counts = Counts(Plain(0.5), {std::log(0.5f), std::log(0.3f), std::log(0.2f)});
  EXPECT_NEAR(counts.at(0), 20000 * 0.25 / 0.38, 355);
  EXPECT_NEAR(counts.at(2), 20000 * 0.04 / 0.38, 355);
}

TEST(Sampler, TopKKeepsTheLikeliest) {
  SamplerOptions options = Plain();
  options.top_k = 2;
  const auto counts = Counts(options, {1, 4, 2, 3}, 2000);
  EXPECT_THAT(counts, testing::ElementsAre(testing::Key(1), testing::Key(3)));
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesTheSum) {
  SamplerOptions options = Plain();
  options.top_p = 0.75;  // 0.5 is too little, 0.5 + 0.3 is enough
  const auto counts = Counts(options, {std::log(0.2f), std::log(0.5f), std::log(0.3f)}, 2000);
  EXPECT_THAT(counts, testing::ElementsAre(testing::Key(1), testing::Key(2)));
}

TEST(Sampler, ATopPOfZeroKeepsTheLikeliest) {
  SamplerOptions options = Plain();
  options.top_p = 0;
  EXPECT_THAT(Counts(options, {1, 4, 2, 3}, 500), testing::ElementsAre(testing::Key(1)));
}

TEST(Sampler, BiasIsAddedToLogits) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  SamplerOptions options = {.temperature = 0, .logit_bias = {{2, 2.5f}, {0, -1}, {99, 100}}};
  EXPECT_FALSE(options.ChoosesAmong(1));
  EXPECT_EQ(Sampler(options).Sample({3, 1, 0}).value(), 2);  // 2, 1, 2.5
  // Among what is allowed, too: tokens 0 and 1.
  EXPECT_EQ(Sampler(options).Sample({3, 1, 0}, {0b011}).value(), 0);
  options.logit_bias = {{0, kNever}};
  EXPECT_EQ(Sampler(options).Sample({3, 1, 0}).value(), 1);
  options.logit_bias = {{0, kNever}, {1, kNever}};
  const auto none = Sampler(options).Sample({3, 1, 0}, {0b011});
  EXPECT_EQ(none.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(none.status().message(), testing::HasSubstr("logit_bias"));
}

TEST(Sampler, MinPIsRelativeToTheBest) {
  SamplerOptions options = Plain();
  options.min_p = 0.5;  // at least 0.25
  const auto counts = Counts(options, {std::log(0.2f), std::log(0.5f), std::log(0.3f)}, 2000);
  EXPECT_THAT(counts, testing::ElementsAre(testing::Key(1), testing::Key(2)));
}

TEST(Sampler, TypicalDropsTheMostSurprisingFirst) {
  SamplerOptions options = Plain();
  options.typical_p = 0.2;
  // Entropy of (0.6, 0.3, 0.1) is 0.898: -log p is 0.51, 1.20, 2.30, so 0.3 is nearest to it.
  const auto counts = Counts(options, {std::log(0.6f), std::log(0.3f), std::log(0.1f)}, 500);
  EXPECT_THAT(counts, testing::ElementsAre(testing::Key(1)));
}

TEST(Sampler, RepeatPenaltyPushesBothSignsDown) {
  SamplerOptions options = {.temperature = 0, .repeat_penalty = 2};
  Sampler sampler(options);
  EXPECT_EQ(sampler.Sample({5, 4, -1}).value(), 0);
  sampler.Accept(0);  // 5 becomes 2.5
  EXPECT_EQ(sampler.Sample({5, 4, -1}).value(), 1);
  Sampler negative(options);
  negative.Accept(0);  // -1 becomes -2
  EXPECT_EQ(negative.Sample({-1, -1.5f}).value(), 1);
}

TEST(Sampler, RepeatPenaltyLooksBackOnlySoFar) {
  SamplerOptions options = {.temperature = 0, .repeat_penalty = 2, .repeat_last_n = 1};
  Sampler sampler(options);
  sampler.Accept(0);
  sampler.Accept(2);
  EXPECT_EQ(sampler.Sample({5, 4, 3}).value(), 0);
}

// Once however often it is there, and no more when its last place has left the window.
TEST(Sampler, RepeatPenaltyCountsATokenOnceWhileTheWindowHasIt) {
  SamplerOptions options = {.temperature = 0, .repeat_penalty = 2, .repeat_last_n = 3};
  Sampler sampler(options);
  for (const int32_t token : {0, 0, 2}) sampler.Accept(token);
  EXPECT_EQ(sampler.Sample({5, 2, 1}).value(), 0);  // 2.5; twice would be 1.25
  EXPECT_EQ(sampler.Sample({5, 3, 1}).value(), 1);
  sampler.Accept(2);
  EXPECT_EQ(sampler.Sample({5, 3, 1}).value(), 1);  // the second 0 is still there
  sampler.Accept(2);
  EXPECT_EQ(sampler.Sample({5, 3, 1}).value(), 0);
}

// Each time that it is there and once for that it is there, from whatever logit.
TEST(Sampler, FrequencyAndPresencePenaltiesAreTakenOff) {
  Sampler frequent({.temperature = 0, .frequency_penalty = 0.5});
  for (const int32_t token : {0, 0, 1}) frequent.Accept(token);
  EXPECT_EQ(frequent.Sample({5, 4.25f, 0}).value(), 0);  // 4, 3.75
  frequent.Accept(0);
  EXPECT_EQ(frequent.Sample({5, 4.25f, 0}).value(), 1);  // 3.5, 3.75
  Sampler present({.temperature = 0, .presence_penalty = 1});
  for (const int32_t token : {0, 0, 0}) present.Accept(token);
  EXPECT_EQ(present.Sample({5, 3.75f}).value(), 0);   // 4
  EXPECT_EQ(present.Sample({-1, -1.5f}).value(), 1);  // -2
  Sampler encouraged({.temperature = 0, .presence_penalty = -1});
  encouraged.Accept(1);
  EXPECT_EQ(encouraged.Sample({5, 4.5f}).value(), 1);
}

TEST(Sampler, TheSameSeedGivesTheSameTokens) {
  SamplerOptions options = Plain();
  options.seed = 42;
  const std::vector<float> logits = {0.1f, 0.2f, 0.3f, 0.4f};
  std::vector<int32_t> first, second, other;
  Sampler a(options), b(options);
  options.seed = 43;
  Sampler c(options);
  for (int i = 0; i < 50; ++i) {
    first.push_back(a.Sample(logits).value());
    second.push_back(b.Sample(logits).value());
    other.push_back(c.Sample(logits).value());
  }
  EXPECT_EQ(first, second);
  EXPECT_NE(first, other);
}

TEST(Sampler, ChoosesFromWhatIsAllowed) {
  SamplerOptions options = Plain();
  options.temperature = 0;
  options.repeat_penalty = 4;
  Sampler sampler(options);
  const std::vector<uint64_t> allowed = {0b1011};  // and the logits have no token 3
  EXPECT_EQ(sampler.Sample({1, 2, 5}, allowed).value(), 1);
  sampler.Accept(1);
  EXPECT_EQ(sampler.Sample({1, 2, 5}, allowed).value(), 0);  // 2 / 4 is less than 1
  EXPECT_EQ(sampler.Sample({1, 2, 5}).value(), 2);
}

TEST(Sampler, TokensBeyondTheFirstWordAreAllowedByTheirBits) {
  SamplerOptions options = Plain();
  options.temperature = 0;
  const std::vector<uint64_t> allowed = {0, uint64_t{1} << 2};
  EXPECT_EQ(Sampler(options).Sample(std::vector<float>(100, 1.0F), allowed).value(), 66);
}

TEST(Sampler, WhatIsAllowedMayBeRuledOut) {
  const float ruled_out = -std::numeric_limits<float>::infinity();
  const std::vector<uint64_t> allowed = {0b10};
  const auto token = Sampler(Plain()).Sample({1, ruled_out, 2}, allowed);
  EXPECT_EQ(token.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(token.status().message(), testing::HasSubstr("every token that the constraint"));
}

TEST(SamplerOptions, ChecksNameTheOption) {
  EXPECT_TRUE(SamplerOptions().Check().ok());
  EXPECT_THAT(SamplerOptions{.temperature = std::nan("")}.Check().message(),
              testing::HasSubstr("temperature is nan"));
  EXPECT_THAT(SamplerOptions{.temperature = -1}.Check().message(),
              testing::HasSubstr("temperature"));
  EXPECT_THAT(SamplerOptions{.top_k = -1}.Check().message(), testing::HasSubstr("top_k"));
  EXPECT_THAT(SamplerOptions{.top_p = -0.1}.Check().message(), testing::HasSubstr("top_p"));
  EXPECT_THAT(SamplerOptions{.min_p = 1.5}.Check().message(), testing::HasSubstr("min_p"));
  EXPECT_THAT(SamplerOptions{.repeat_penalty = 0}.Check().message(),
              testing::HasSubstr("repeat_penalty"));
}

// What op top_k makes of a row.
struct Largest {
  Largest(const std::vector<float>& row, size_t k) : tokens(row.size()) {
    const auto rank = [&](int32_t token) {
      const float logit = row[static_cast<size_t>(token)];
      return std::isnan(logit) ? kInf : logit;
    };
    std::iota(tokens.begin(), tokens.end(), 0);
    std::stable_sort(tokens.begin(), tokens.end(),
                     [&](int32_t a, int32_t b) { return rank(a) > rank(b); });
    tokens.resize(std::min(k, row.size()));
    for (const int32_t token : tokens) values.push_back(row[static_cast<size_t>(token)]);
  }
  std::vector<int32_t> tokens;
  std::vector<float> values;
};

// Rows with ties and with tokens that are ruled out, and now and then with what must not be there
// or with nothing else: from the largest logits come the tokens and the errors of whole rows, draw
// after draw.
TEST(SampleLikeliest, DrawsWhatWholeRowsGive) {
  std::mt19937 random(1);
  const auto below = [&](uint32_t n) { return static_cast<uint32_t>(random()) % n; };
  int tokens = 0, errors = 0;
  for (int round = 0; round < 300; ++round) {
    const SamplerOptions options = {.temperature = 0.5 * below(4),
                                    .top_k = 1 + below(64),
                                    .typical_p = below(2) == 0 ? 1 : 0.6,
                                    .top_p = below(2) == 0 ? 1 : 0.8,
                                    .min_p = below(2) == 0 ? 0 : 0.1,
                                    .seed = below(1000)};
    ASSERT_TRUE(options.ChoosesAmong(kLikeliest));
    Sampler whole(options), likeliest(options);
    for (int draw = 0; draw < 5; ++draw) {
      std::vector<float> row(1 + below(200));
      const bool is_bad = below(20) == 0;
      for (float& logit : row) {
        logit = below(10) == 0 ? -kInf : 0.25F * static_cast<float>(below(60));
        if (!is_bad || below(50) != 0) continue;
        logit = below(2) == 0 ? kInf : std::nanf("");
      }
      const Largest largest(row, kLikeliest);
      const auto expected = whole.Sample(row);
      const auto got = likeliest.SampleLikeliest({largest.values, largest.tokens});
      ASSERT_EQ(got.status(), expected.status());
      ASSERT_EQ(got.value_or(-1), expected.value_or(-1)) << "round " << round;
      ++(expected.ok() ? tokens : errors);
    }
  }
  EXPECT_GT(tokens, 1000);
  EXPECT_GT(errors, 10);
}

TEST(SampleLikeliest, NothingFiniteIsTheSameError) {
  EXPECT_EQ(Sampler(Plain()).SampleLikeliest({{-kInf, -kInf}, {0, 1}}).status(),
            Sampler(Plain()).Sample({-kInf, -kInf}).status());
}

TEST(SamplerOptions, ChooseAmongTheLikeliestUnlessTheyLookFurther) {
  EXPECT_TRUE(SamplerOptions().ChoosesAmong(40));
  EXPECT_FALSE(SamplerOptions().ChoosesAmong(39));
  EXPECT_TRUE((SamplerOptions{.temperature = 0, .top_k = 0}).ChoosesAmong(1));
  EXPECT_FALSE(SamplerOptions{.top_k = 0}.ChoosesAmong(64));
  EXPECT_FALSE((SamplerOptions{.temperature = 0, .presence_penalty = 1}).ChoosesAmong(64));
}

}  // namespace
}  // namespace sluice
