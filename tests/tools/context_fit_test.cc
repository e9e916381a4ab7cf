// The context that `serve` takes where nobody says: the model's own, as far as memory reaches.
#include "tools/engine/context_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cpu/cpu_backend.h"
#include "passes/memory_plan.h"
#include "tools/engine/session.h"

namespace sluice::tools {
namespace {

class ContextFitTest : public testing::Test {
 protected:
  void SetUp() override {
    auto model = Model::LoadEmbedded();
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    own_ = model_->config().context_length;
    plan_ = PlanAt(own_);
  }
  MemoryPlan PlanAt(int64_t context) {
    DecoderOptions options = options_;
    options.context = context;
    return MemoryPlanOf(model_->BuildGraph(options).value()).value();
  }
  ContextFit FitInto(int64_t available, int64_t least = 16) {
    return FitContext(*model_, options_, {available, "memory of a test"}, least).value();
  }

  const DecoderOptions options_ = {.max_tokens = 64, .max_seqs = 3};
  std::unique_ptr<Model> model_;
  int64_t own_ = 0;
  MemoryPlan plan_;
};

TEST_F(ContextFitTest, IsTheModelsOwnWhereHalfOfWhatIsLeftHoldsIt) {
  const int64_t enough = plan_.weights + plan_.activations + 2 * plan_.states;
  const ContextFit fit = FitInto(enough);
  EXPECT_EQ(fit.context, own_);
  EXPECT_EQ(fit.own, own_);
  EXPECT_EQ(fit.cache_bytes, plan_.states);
  EXPECT_EQ(fit.limited_by, "");
  EXPECT_LT(FitInto(enough - 2).context, own_);
}

TEST_F(ContextFitTest, IsWhatHalfOfTheRestHolds) {
  const ContextFit fit = FitInto(plan_.weights + plan_.activations + plan_.states * 3 / 2);
  EXPECT_EQ(fit.context % 256, 0);
  EXPECT_GT(fit.context, own_ / 4);
  EXPECT_EQ(fit.limited_by, "memory of a test");
  EXPECT_EQ(fit.cache_bytes, PlanAt(fit.context).states);
  EXPECT_LE(fit.cache_bytes, plan_.states * 3 / 4);
}

TEST_F(ContextFitTest, IsNeverLessThanTheLeast) {
  EXPECT_EQ(FitInto(0, 48).context, 48);
  EXPECT_EQ(FitInto(0, own_).context, own_);
  EXPECT_EQ(FitInto(0, own_ + 1).context, own_);
}

TEST_F(ContextFitTest, IsToldOfBeforeASessionOpens) {
  ContextFit told;
  SessionSetup setup = {.least_context = 16, .max_seqs = 2};
  setup.events.on_context = [&told](const ContextFit& fit) { told = fit; };
  const auto session = OpenSession(ModelOptions{}, BackendOptions{}, CacheOptions{}, setup);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(told.context, session->session->max_context());
  EXPECT_GT(told.cache_bytes, 0);
  EXPECT_EQ(told.own, own_);
}

}  // namespace
}  // namespace sluice::tools
