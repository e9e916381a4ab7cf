// perplexity: the formulas on rows whose answers are known, and windows over a real model.
#include "tools/debug/perplexity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "backends/ref/ref_backend.h"
#include "models/model.h"
#include "tools/engine/session.h"

namespace sluice {
namespace {

constexpr double kExact = 1e-12;  // of numbers near 1, in double

TEST(Predict, IsTheLogarithmOfTheSoftmax) {
  const std::vector<float> logits = {1000.0F, 1000.0F + std::log(3.0F)};  // no overflow
  const Prediction prediction = Predict(logits, 0);
  EXPECT_NEAR(prediction.log_probability, std::log(0.25), 1e-4);  // floats near 1000
  EXPECT_EQ(prediction.best, 1);
  EXPECT_EQ(Predict(std::vector<float>{2, 2, 1}, 2).best, 0) << "the first of equals";
}

TEST(KlDivergence, OfTwoCoins) {
  // p = 1/2, 1/2 and q = 1/4, 3/4: (ln 2 + ln 2/3) / 2.
  const std::vector<float> p = {0, 0}, q = {0, std::log(3.0F)};
  EXPECT_NEAR(KlDivergence(p, q), 0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3), 1e-7);
  EXPECT_EQ(KlDivergence(p, p), 0);
  const std::vector<float> impossible = {0, -INFINITY};
  EXPECT_NEAR(KlDivergence(impossible, p), std::log(2.0), kExact);
  EXPECT_EQ(KlDivergence(p, impossible), INFINITY);
}

TEST(PerplexityMeter, IsTheInverseGeometricMean) {
  PerplexityMeter meter;
  meter.Add(std::log(0.5));
  meter.Add(std::log(0.125));
  EXPECT_NEAR(meter.perplexity().value, 4, kExact);
  // Two numbers ln 2 apart from their mean: a deviation of ln 2 over sqrt(2 - 1).
  EXPECT_NEAR(meter.perplexity().error, 4 * std::log(2.0), 1e-7);
}

TEST(DivergenceMeter, ReportsRanks) {
  DivergenceMeter meter;
  const std::vector<float> base = {0, 0};
  for (int i = 0; i < 100; ++i) {
    const std::vector<float> row = {0, i < 60 ? 0.0F : std::log(3.0F)};
    meter.Add(base, row, 0);
  }
  const DivergenceMeter::Report report = meter.report();
  EXPECT_EQ(report.median, 0);
  EXPECT_GT(report.p99, 0.1);
  EXPECT_EQ(report.p99, report.max);
  EXPECT_NEAR(report.mean.value, 0.4 * report.max, kExact);
  EXPECT_NEAR(report.same_best, 0.6, kExact);
  EXPECT_NEAR(report.base_perplexity.value, 2, kExact);
  // 40 of 100 changed from 1/2 to 1/4.
  EXPECT_NEAR(report.rms_probability_change, std::sqrt(0.4) / 4, 1e-7);
}

TEST(TextWindows, DropTheRestOrTakeAll) {
  TextWindows windows{.ids = std::vector<int32_t>(10), .length = 4};
  EXPECT_EQ(windows.count(), 2);
  EXPECT_EQ(windows.tokens(), 8);
  windows.length = 64;
  EXPECT_EQ(windows.count(), 1);
  EXPECT_EQ(windows.size(), 10);
}

class EmbeddedWindows : public testing::Test {
 protected:
  void SetUp() override {
    auto model = Model::LoadEmbedded();
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    auto tokenizer = model_->tokenizer();
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    windows_ = {
        .ids =
            (*tokenizer)
                ->Encode("Once upon a time, there was a little girl named Lily. She loved to play "
                         "outside in the park with her friends. One day, she saw a big red ball."),
        .length = 16};
  }

  // The logits of all positions, in the order in which they come.
  std::vector<std::vector<float>> Rows(Backend& backend, int64_t chunk, DType cache = DType::kF32) {
    auto session = tools::OpenSession(
        *model_, backend, {.max_tokens = 16, .context = 16, .k_type = cache, .v_type = cache},
        {.max_outputs = 16, .prepack_bytes = 0});
    EXPECT_TRUE(session.ok()) << session.status();
    std::vector<std::vector<float>> rows;
    const absl::Status status = EvaluateWindows(
        **session, windows_, chunk, [&](int64_t position, absl::Span<const float> logits) {
          EXPECT_EQ(position, static_cast<int64_t>(rows.size()));
          rows.emplace_back(logits.begin(), logits.end());
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << status;
    return rows;
  }

  std::unique_ptr<Model> model_;
  TextWindows windows_;
};

TEST_F(EmbeddedWindows, AStoryIsExpected) {
  const auto cpu = MakeCpuBackend({.threads = 1});
  const auto rows = Rows(*cpu, 16);
  ASSERT_EQ(static_cast<int64_t>(rows.size()), windows_.tokens());
  PerplexityMeter meter;
  for (size_t i = 0; i + 1 < rows.size(); ++i) {
    if ((i + 1) % 16 != 0) meter.Add(Predict(rows[i], windows_.ids[i + 1]).log_probability);
  }
  // About 36, with so little before each token; a model that knows nothing has 2048, as many as
  // there are tokens.
  EXPECT_LT(meter.perplexity().value, 100);
  EXPECT_GT(meter.perplexity().value, 1);
}

// Windows start anew, and steps may have any size: float sums in another order, and no more.
TEST_F(EmbeddedWindows, AreTheSameInChunksAndOnTheReference) {
  const auto cpu = MakeCpuBackend({.threads = 1});
  const auto ref = MakeRefBackend();
  const auto whole = Rows(*cpu, 16), chunks = Rows(*cpu, 5), expected = Rows(*ref, 16);
  ASSERT_EQ(whole.size(), chunks.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_LT(KlDivergence(whole[i], chunks[i]), 1e-9) << i;
    EXPECT_LT(KlDivergence(expected[i], whole[i]), 1e-9) << i;
  }
}

// The narrower, the farther; each on both backends alike, as far as another order of sums may round
// a cached number the other way.
TEST_F(EmbeddedWindows, NarrowCachesCostLittle) {
  const auto cpu = MakeCpuBackend({.threads = 1});
  const auto ref = MakeRefBackend();
  const auto exact = Rows(*ref, 16);
  double before = 0;
  for (const auto& [cache, limit] : {std::pair(DType::kF16, 1e-5), {DType::kQ8_0, 1e-2}}) {
    const auto rows = Rows(*cpu, 16, cache), expected = Rows(*ref, 16, cache);
    DivergenceMeter from_exact, from_reference;
    for (size_t i = 0; i < rows.size(); ++i) {
      from_exact.Add(exact[i], rows[i], 0);
      from_reference.Add(expected[i], rows[i], 0);
    }
    const double mean = from_exact.report().mean.value;
    EXPECT_LT(mean, limit) << Name(cache);
    EXPECT_GT(mean, before) << Name(cache);
    EXPECT_LT(from_reference.report().mean.value, 0.1 * limit) << Name(cache);
    before = mean;
  }
}

TEST_F(EmbeddedWindows, TheFirstTokenCanBeReplaced) {
  const auto cpu = MakeCpuBackend({.threads = 1});
  const auto before = Rows(*cpu, 16);
  windows_.first = windows_.ids[1];
  const auto after = Rows(*cpu, 16);
  EXPECT_GT(KlDivergence(before[0], after[0]), 0.01);
  EXPECT_GT(KlDivergence(before[16], after[16]), 0.01) << "of every window";
}

}  // namespace
}  // namespace sluice
