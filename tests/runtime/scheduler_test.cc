#include "runtime/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "backends/cpu/cpu_backend.h"
#include "models/model.h"
#include "runtime/session.h"
#include "tests/support/fake_device.h"
#include "tests/support/model_test_name.h"
#include "tests/support/paths.h"
#include "tests/support/sanitized.h"
#include "tools/engine/session.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

using Tokens = std::vector<int32_t>;

// What requests gave, by id.
struct Outcome {
  Tokens tokens;
  RequestResult result;
  bool finished = false;
};

class Outcomes {
 public:
  // A greedy request for `max_tokens`.
  Request NewRequest(int64_t id, Tokens prompt, int64_t max_tokens) {
    outcomes_.resize(std::max(outcomes_.size(), static_cast<size_t>(id) + 1));
    Request request;
    request.id = id;
    request.prompt = std::move(prompt);
    request.options.max_tokens = max_tokens;
    request.options.sampling.temperature = 0;
    request.options.on_token = [this, id](int32_t token) {
      Of(id).tokens.push_back(token);
      return true;
    };
    request.on_finish = [this, id](const RequestResult& result) {
      EXPECT_FALSE(Of(id).finished);
      Of(id).result = result;
      Of(id).finished = true;
    };
    return request;
  }

  Outcome& Of(int64_t id) { return outcomes_[static_cast<size_t>(id)]; }

 private:
  std::vector<Outcome> outcomes_;
};

class FakeScheduler : public testing::Test {
 protected:
  // Blocks of 4 tokens, contexts of 64 at most.
  void Open(int64_t blocks, const SchedulerOptions& options = {}) {
    scheduler_.reset();
    device_ =
        std::make_unique<FakeDevice>(StepLimits{.max_tokens = 16,
                                                .max_seqs = 4,
                                                .max_outputs = 4,
                                                .max_context = std::min<int64_t>(64, blocks * 4),
                                                .block_size = 4,
                                                .vocabulary = 100},
                                     blocks);
    scheduler_ = std::make_unique<Scheduler>(*device_, options);
  }
  void TearDown() override { EXPECT_EQ(device_->fault(), ""); }

  void Add(int64_t id, Tokens prompt, int64_t max_tokens) {
    scheduler_->Add(outcomes_.NewRequest(id, std::move(prompt), max_tokens));
  }
  // Tokens that the step took.
  int64_t Step() {
    const int64_t before = scheduler_->counters().tokens;
    scheduler_->Step();
    return scheduler_->counters().tokens - before;
  }
  void RunAll() {
    while (!scheduler_->idle()) scheduler_->Step();
  }
  Outcome& Of(int64_t id) { return outcomes_.Of(id); }
  int64_t free() const { return device_->pool().free(); }

  std::unique_ptr<FakeDevice> device_;
  std::unique_ptr<Scheduler> scheduler_;
  Outcomes outcomes_;
};

TEST_F(FakeScheduler, PromptsFillUpTheStepsOfThoseThatGenerate) {
  Open(64, {.step_tokens = 10, .prefill_chunk = 6});
  Add(0, Tokens(4, 1), 8);
  EXPECT_EQ(Step(), 4);
  Add(1, Tokens(14, 2), 8);
  Add(2, Tokens(5, 3), 8);
  EXPECT_EQ(Step(), 1 + 6 + 3);
  EXPECT_EQ(Step(), 1 + 6 + 2);
  EXPECT_EQ(Step(), 1 + 1 + 2);  // the end of 1's prompt, and the second token of 2
  EXPECT_EQ(Step(), 3);
  RunAll();
  for (const int64_t id : {0, 1, 2}) EXPECT_EQ(Of(id).tokens.size(), 8u);
}

TEST_F(FakeScheduler, AKnownPromptRunsItsLastTokenOnly) {
  Open(64);
  const Tokens prompt = {1, 2, 3, 4, 5, 6, 7, 8};
  Add(0, prompt, 2);
  RunAll();
  Add(1, prompt, 2);
  EXPECT_EQ(Step(), 1);
  RunAll();
  EXPECT_EQ(Of(0).tokens, Of(1).tokens);
  EXPECT_EQ(Of(0).result.cached_tokens, 0);
  EXPECT_EQ(Of(1).result.cached_tokens, 7);
  EXPECT_EQ(Of(1).result.prompt_tokens, 8);
  const PrefixCache::Counters& counters = scheduler_->prefix_cache()->counters();
  EXPECT_EQ(counters.hits, 1);
  EXPECT_EQ(counters.misses, 1);
  EXPECT_EQ(counters.saved_tokens, 7);
}

TEST_F(FakeScheduler, AnAnswerIsKnownToTheNextPrompt) {
  Open(64);
  Add(0, Tokens(6, 1), 7);
  RunAll();
  Tokens next(6, 1);
  next.insert(next.end(), Of(0).tokens.begin(), Of(0).tokens.end());
  Add(1, next, 1);
  RunAll();
  EXPECT_EQ(Of(1).result.cached_tokens, 12);  // of 13, the last of which was not run
}

TEST_F(FakeScheduler, WithoutAPrefixCacheNothingIsKept) {
  Open(64, {.prefix_cache = false});
  for (const int64_t id : {0, 1}) {
    Add(id, Tokens(8, 1), 2);
    RunAll();
    EXPECT_EQ(Of(id).result.cached_tokens, 0);
    EXPECT_EQ(device_->pool().idle(), 0);
  }
  EXPECT_EQ(scheduler_->prefix_cache(), nullptr);
}

TEST_F(FakeScheduler, TheYoungestGivesItsBlocksUpAndGoesOnLater) {
  Open(8, {.prefix_cache = false});
  Add(0, Tokens(8, 1), 20);
  Add(1, Tokens(8, 2), 16);
  while (scheduler_->counters().preemptions == 0) Step();
  const size_t made = Of(1).tokens.size();
  EXPECT_GT(made, 0u);
  EXPECT_EQ(scheduler_->running(), 1);
  EXPECT_EQ(scheduler_->waiting(), 1);
  while (Of(1).tokens.size() == made) Step();
  EXPECT_TRUE(Of(0).finished);
  RunAll();
  EXPECT_EQ(Of(0).tokens.size(), 20u);
  EXPECT_EQ(Of(1).tokens.size(), 16u);
}

TEST_F(FakeScheduler, NobodyOvertakesTheOldestThatWaits) {
  Open(8);
  Add(0, Tokens(15, 1), 8);
  Step();
  Add(1, Tokens(20, 2), 1);  // 6 blocks, of which 4 are free
  Add(2, Tokens(2, 3), 1);
  Step();
  EXPECT_EQ(scheduler_->running(), 1);
  EXPECT_EQ(scheduler_->waiting(), 2);
  RunAll();
  for (const int64_t id : {0, 1, 2}) EXPECT_TRUE(Of(id).result.status.ok());
}

TEST_F(FakeScheduler, TheEndOfTheContextEndsARequest) {
  Open(4);
  Add(0, Tokens(10, 1), -1);
  RunAll();
  EXPECT_EQ(Of(0).result.reason, StopReason::kContext);
  EXPECT_EQ(Of(0).tokens.size(), 7u);  // the last one needs no place
  EXPECT_EQ(Of(0).result.generated, 7);
}

TEST_F(FakeScheduler, CancelledRequestsFreeTheirBlocksAtOnce) {
  Open(8, {.prefix_cache = false});
  Add(0, Tokens(8, 1), 20);
  Add(1, Tokens(25, 1), 1);
  Step();
  EXPECT_LT(free(), 8);
  EXPECT_TRUE(scheduler_->Cancel(0));
  EXPECT_EQ(free(), 8);
  EXPECT_TRUE(Of(0).finished);
  EXPECT_EQ(Of(0).result.reason, StopReason::kCallback);
  EXPECT_FALSE(scheduler_->Cancel(0));
  EXPECT_TRUE(scheduler_->Cancel(1));  // while it waits
  EXPECT_TRUE(scheduler_->idle());
}

TEST_F(FakeScheduler, IsStoppedIsAskedBeforeEachStep) {
  Open(8);
  bool stop = false;
  Request request = outcomes_.NewRequest(0, {1, 2}, 20);
  request.options.is_stopped = [&] { return stop; };
  scheduler_->Add(std::move(request));
  Step();
  stop = true;
  EXPECT_EQ(Step(), 0);
  EXPECT_TRUE(Of(0).finished);
  EXPECT_EQ(Of(0).tokens.size(), 1u);
}

TEST_F(FakeScheduler, AFailedStepEndsThoseThatWereInIt) {
  Open(16, {.max_running = 1});
  Add(0, {1, 2}, 4);
  Add(1, {3, 4}, 4);
  device_->FailNext(absl::InternalError("the device is gone"));
  Step();
  EXPECT_THAT(std::string(Of(0).result.status.message()), HasSubstr("the device is gone"));
  EXPECT_FALSE(Of(1).finished);
  RunAll();
  EXPECT_TRUE(Of(1).result.status.ok());
  EXPECT_EQ(free(), 16);
}

TEST_F(FakeScheduler, LogitsThatAreNotFiniteEndTheirRequestAlone) {
  Open(16);
  Add(0, {1, 2}, 4);
  Add(1, {3, 4}, 4);
  device_->PoisonNext();
  RunAll();
  EXPECT_THAT(std::string(Of(0).result.status.message()), HasSubstr("NaN"));
  EXPECT_TRUE(Of(1).result.status.ok());
  EXPECT_EQ(Of(1).tokens.size(), 4u);
}

TEST_F(FakeScheduler, BlocksThatOthersHoldEndARequestThatNeedsThem) {
  Open(4);
  Sequence other(&device_->pool(), 4);
  ASSERT_TRUE(other.Extend(8).ok());
  Add(0, Tokens(12, 1), 1);
  Add(1, Tokens(3, 1), -1);
  RunAll();
  EXPECT_EQ(Of(0).result.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(Of(0).result.status.message()), HasSubstr("2 of 4 blocks are free"));
  EXPECT_EQ(Of(1).result.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Of(1).tokens.size(), 6u);  // as far as the blocks reached
}

TEST_F(FakeScheduler, RequestsThatCannotBeTakenFinishWithTheReason) {
  Open(4, {.max_running = 1, .max_waiting = 1});
  const auto message = [&](int64_t id) { return std::string(Of(id).result.status.message()); };
  Add(0, {}, 1);
  EXPECT_THAT(message(0), HasSubstr("the prompt is empty"));
  Add(5, {100}, 1);
  EXPECT_THAT(message(5), HasSubstr("token id 100 is not in 0 to 99"));
  Request request = outcomes_.NewRequest(6, {1}, 1);
  request.options.sampling.top_p = 2;
  EXPECT_THAT(std::string(scheduler_->Check(request).message()), HasSubstr("top_p is 2"));
  Add(1, {1}, 1);
  Request same = outcomes_.NewRequest(2, {1}, 1);
  same.id = 1;
  scheduler_->Add(std::move(same));
  EXPECT_EQ(Of(2).result.status.code(), absl::StatusCode::kAlreadyExists);
  Add(3, {1}, 1);
  Add(4, {1}, 1);
  EXPECT_EQ(Of(4).result.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(message(4), HasSubstr("the queue is full: 2 requests are not finished"));
  RunAll();
  EXPECT_TRUE(Of(1).result.status.ok());
}

TEST_F(FakeScheduler, ResetCancelsEverythingAndEmptiesTheCache) {
  Open(16);
  Add(0, Tokens(8, 1), 20);
  Step();
  Add(1, Tokens(8, 2), 20);
  EXPECT_EQ(scheduler_->prefix_cache()->size(), 2);
  scheduler_->Reset();
  EXPECT_TRUE(Of(0).finished);
  EXPECT_TRUE(Of(1).finished);
  EXPECT_EQ(scheduler_->prefix_cache()->size(), 0);
  EXPECT_EQ(device_->pool().idle(), 0);
  EXPECT_EQ(free(), 16);
}

TEST_F(FakeScheduler, DraftsTakeWhatIsSpare) {
  const auto add = [&](int64_t id) {
    Request request = outcomes_.NewRequest(id, {1, 2, 1, 2, 1, 2}, 30);
    request.options.draft = {.ngram = 2, .max = 8};
    scheduler_->Add(std::move(request));
  };
  Open(64, {.max_drafting = 2});
  add(0);
  EXPECT_EQ(Step(), 6 + 2);  // the text repeats itself, the device does not
  EXPECT_EQ(scheduler_->counters().drafted, 2);
  add(1);
  add(2);
  const int64_t before = scheduler_->counters().drafted;
  Step();  // three requests: too many for drafts
  EXPECT_EQ(scheduler_->counters().drafted, before);
  RunAll();
  for (const int64_t id : {0, 1, 2}) {
    EXPECT_EQ(Of(id).tokens.size(), 30u);
    EXPECT_EQ(Of(id).tokens, Of(0).tokens);
  }
  EXPECT_GE(Of(0).result.drafted, 2);
  EXPECT_EQ(free(), 64);
}

TEST_F(FakeScheduler, DraftsNeedRowsThatNobodyWants) {
  Open(64);  // 4 rows
  for (const int64_t id : {0, 1, 2}) {
    Request request = outcomes_.NewRequest(id, {1, 2, 1, 2}, 4);
    request.options.draft = {.ngram = 2, .max = 8};
    scheduler_->Add(std::move(request));
  }
  EXPECT_EQ(Step(), 3 * 4 + 1);
  RunAll();
}

TEST_F(FakeScheduler, DraftsThatCannotBeAreRefused) {
  Open(16);
  Request request = outcomes_.NewRequest(0, {1}, 4);
  request.options.draft.max = 0;
  scheduler_->Add(std::move(request));
  EXPECT_THAT(Of(0).result.status.message(), HasSubstr("drafts have 0 tokens"));
}

TEST_F(FakeScheduler, TellsHowFarAPromptIs) {
  Open(16, {.prefill_chunk = 8});
  std::vector<std::array<int64_t, 3>> told;
  const auto add = [&](int64_t id) {
    Request request = outcomes_.NewRequest(id, Tokens(20, 7), 2);
    request.on_prompt = [&told](const PromptProgress& progress) {
      told.push_back({progress.total, progress.cached, progress.processed});
    };
    scheduler_->Add(std::move(request));
    while (!scheduler_->idle()) scheduler_->Step();
  };
  add(1);
  using All = std::vector<std::array<int64_t, 3>>;
  EXPECT_EQ(told, (All{{20, 0, 0}, {20, 0, 8}, {20, 0, 16}, {20, 0, 20}}));
  told.clear();
  add(2);  // whole blocks are known, and the last token is run again
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.front()[1], told.front()[2]);
  EXPECT_GE(told.front()[1], 16);
  EXPECT_EQ(told.back()[2], 20);
}

TEST_F(FakeScheduler, NoTokensWantedRunsThePrompt) {
  Open(16);
  Add(0, Tokens(8, 1), 0);
  RunAll();
  EXPECT_THAT(Of(0).tokens, IsEmpty());
  EXPECT_EQ(Of(0).result.reason, StopReason::kLength);
  EXPECT_EQ(scheduler_->prefix_cache()->size(), 2);
}

// Real models. A step's number of rows decides in which order products are summed, and so changes
// logits by some 1e-6. That chooses another token only where two are nearly equal, and the texts
// here have no such place: see RunAlone.
class RealScheduler : public testing::TestWithParam<const char*> {
 protected:
  static constexpr int64_t kContext = 96;
  static constexpr size_t kAnswer = 24;

  void SetUp() override {
    const std::string name = GetParam();  // in tests/data/models; "": the embedded one
    auto model = name.empty() ? Model::LoadEmbedded()
                              : Model::Load(TestDataDir() + "/models/" + name + ".gguf");
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    backend_ = MakeCpuBackend({.threads = 2});
    const auto session = Open(0);
    for (const Tokens& prompt : Prompts(session->vocabulary())) {
      alone_.push_back(RunAlone(*session, prompt));
    }
  }

  static Tokens RunAlone(Session& session, const Tokens& prompt) {
    constexpr float kNearTie = 1e-4F;
    const auto sequence = session.NewSequence();
    auto logits = session.Prefill(*sequence, prompt);
    Tokens text;
    while (logits.ok()) {
      const auto best = std::max_element(logits->begin(), logits->end());
      text.push_back(static_cast<int32_t>(best - logits->begin()));
      for (auto other = logits->begin(); other != logits->end(); ++other) {
        EXPECT_TRUE(other == best || *best - *other > kNearTie) << *best << " and " << *other;
      }
      if (text.size() == kAnswer) break;
      const StepToken next{sequence.get(), text.back(), true};
      logits = session.Step({&next, 1});
    }
    EXPECT_TRUE(logits.ok()) << logits.status();
    return text;
  }

  // The first three have not room for their answers in 7 blocks. The others begin alike; the last
  // is in whole blocks what came before.
  static std::vector<Tokens> Prompts(int64_t vocabulary) {
    const auto text = [&](int64_t seed, size_t size) {
      Tokens tokens;
      for (size_t i = 0; i < size; ++i) {
        seed = (seed * 1103515245 + 12345) % 2147483648;
        tokens.push_back(static_cast<int32_t>(3 + seed / 65536 % (vocabulary - 3)));
      }
      return tokens;
    };
    const Tokens shared = text(1, 48);
    std::vector<Tokens> prompts = {text(2, 5), text(3, 12), text(4, 14), shared, shared, shared};
    prompts[4].resize(40);
    prompts[5].insert(prompts[5].end(), {7, 8, 9});
    prompts.push_back(shared);
    return prompts;
  }

  std::unique_ptr<Session> Open(int64_t blocks) {
    auto session = tools::OpenSession(*model_, *backend_,
                                      {.max_tokens = 32,
                                       .max_seqs = 4,
                                       .context = kContext,
                                       .blocks = blocks,
                                       .k_type = DType::kF32,
                                       .v_type = DType::kF32},
                                      {.max_outputs = 4, .prepack_bytes = 0});
    EXPECT_TRUE(session.ok()) << session.status();
    return *std::move(session);
  }

  // All prompts, two of them once the others have begun.
  void ExpectAsAlone(Session& session, Scheduler& scheduler, const DraftOptions& draft = {}) const {
    const std::vector<Tokens> prompts = Prompts(session.vocabulary());
    Outcomes outcomes;
    for (size_t i = 0; i < prompts.size(); ++i) {
      if (i + 2 == prompts.size()) {
        for (int step = 0; step < 9; ++step) scheduler.Step();
      }
      Request request = outcomes.NewRequest(static_cast<int64_t>(i), prompts[i], kAnswer);
      request.options.draft = draft;
      scheduler.Add(std::move(request));
    }
    while (!scheduler.idle()) scheduler.Step();
    for (size_t i = 0; i < prompts.size(); ++i) {
      const Outcome& outcome = outcomes.Of(static_cast<int64_t>(i));
      EXPECT_TRUE(outcome.result.status.ok()) << outcome.result.status;
      EXPECT_EQ(outcome.tokens, alone_[i]) << "prompt " << i;
    }
    EXPECT_EQ(session.pool().free(), session.pool().size());
  }

  std::unique_ptr<Model> model_;
  std::unique_ptr<Backend> backend_;
  std::vector<Tokens> alone_;  // the answers
};

TEST_P(RealScheduler, ParallelRequestsGetWhatEachGetsAlone) {
  for (const int64_t blocks : {0, 7}) {
    const auto session = Open(blocks);
    for (const bool prefix_cache : {true, false}) {
      for (const int64_t chunk : {0, 5, 16}) {
        SCOPED_TRACE(testing::Message() << blocks << " blocks, prefix cache " << prefix_cache
                                        << ", chunks of " << chunk);
        Scheduler scheduler(*session, {.prefill_chunk = chunk, .prefix_cache = prefix_cache});
        ExpectAsAlone(*session, scheduler);
        if (prefix_cache) {
          EXPECT_GT(scheduler.prefix_cache()->counters().saved_tokens, 0);
        }
        EXPECT_EQ(scheduler.counters().preemptions > 0, blocks > 0);
      }
    }
  }
}

TEST_P(RealScheduler, APromptThatIsKnownAsAWholeGetsTheSameAnswer) {
  const auto session = Open(0);
  Scheduler scheduler(*session, {});
  for (int round = 0; round < 2; ++round) ExpectAsAlone(*session, scheduler);
  EXPECT_GE(scheduler.prefix_cache()->counters().saved_tokens, 3 * 47);
}

TEST_P(RealScheduler, DraftsGiveTheSameAnswers) {
  for (const int64_t blocks : {0, 7}) {
    const auto session = Open(blocks);
    Scheduler scheduler(*session, {});
    ExpectAsAlone(*session, scheduler, {.ngram = 1, .max = 3});
    EXPECT_GT(scheduler.counters().drafted, 0);
  }
}

std::vector<const char*> RealModels() {
  std::vector<const char*> names = {"llama.Q4_0", "qwen3moe.BF16", "llama-moe.Q8_0"};
  if (!kSanitized) names.insert(names.begin(), "");
  return names;
}
INSTANTIATE_TEST_SUITE_P(Models, RealScheduler, testing::ValuesIn(RealModels()), ModelTestName);

}  // namespace
}  // namespace sluice
