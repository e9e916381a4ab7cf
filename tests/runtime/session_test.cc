#include "runtime/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cpu/cpu_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/builder.h"
#include "models/model.h"
#include "runtime/generate.h"
#include "tools/engine/session.h"

namespace sluice {
namespace {

using testing::HasSubstr;

// The embedded model on the CPU backend.
class EmbeddedSession : public testing::Test {
 protected:
  void SetUp() override {
    auto model = Model::LoadEmbedded();
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    backend_ = MakeCpuBackend({.threads = 2});
  }

  std::unique_ptr<Session> Open(DecoderOptions options, int64_t outputs = 1) {
    auto session = tools::OpenSession(*model_, *backend_, options,
                                      {.max_outputs = outputs, .prepack_bytes = 0});
    EXPECT_TRUE(session.ok()) << session.status();
    return *std::move(session);
  }

  std::unique_ptr<Model> model_;
  std::unique_ptr<Backend> backend_;
};

TEST_F(EmbeddedSession, ContextEndIsAStatusAndTheSequenceStaysAsItWas) {
  auto session = Open({.max_tokens = 32, .context = 32});
  const auto sequence = session->NewSequence();
  ASSERT_TRUE(session->Prefill(*sequence, std::vector<int32_t>(30, 5)).ok());
  const std::vector<StepToken> step(3, {sequence.get(), 5, false});
  const auto result = session->Step(step);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("30 + 3 tokens, expected at most 32"));
  EXPECT_EQ(sequence->length(), 30);
  EXPECT_TRUE(session->Step({step.data(), 2}).ok());
}

TEST_F(EmbeddedSession, OutOfBlocksIsAStatusAndNothingIsLost) {
  auto session = Open({.max_tokens = 32, .max_seqs = 2, .context = 64, .blocks = 5});
  const auto first = session->NewSequence(), second = session->NewSequence();
  ASSERT_TRUE(session->Prefill(*first, std::vector<int32_t>(40, 5)).ok());
  EXPECT_EQ(session->pool().free(), 2);
  std::vector<StepToken> step(8, {first.get(), 5, false});
  for (int i = 0; i < 24; ++i) step.push_back({second.get(), 5, false});
  ASSERT_TRUE(session->Step(step).ok());
  EXPECT_EQ(session->pool().free(), 0);
  const std::vector<StepToken> more = {{second.get(), 5, false}, {first.get(), 5, false}};
  const auto result = session->Step(more);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(first->length(), 48);
  EXPECT_EQ(second->length(), 24);
}

TEST_F(EmbeddedSession, RefusesWhatAStepCannotTake) {
  auto session = Open({.max_tokens = 4});
  const auto a = session->NewSequence(), b = session->NewSequence();
  const auto message = [&](const std::vector<StepToken>& step) {
    return std::string(session->Step(step).status().message());
  };
  EXPECT_THAT(message({}), HasSubstr("a step of 0 tokens"));
  EXPECT_THAT(message(std::vector<StepToken>(5, {a.get(), 1, false})), HasSubstr("5 tokens"));
  EXPECT_THAT(message({{a.get(), 1, true}, {a.get(), 1, true}}), HasSubstr("2 rows of logits"));
  EXPECT_THAT(message({{a.get(), 2048, true}}), HasSubstr("token id 2048 is not in 0 to 2047"));
  EXPECT_THAT(message({{a.get(), -1, true}}), HasSubstr("token id -1"));
  EXPECT_THAT(message({{a.get(), 1, true}, {b.get(), 1, false}}),
              HasSubstr("more than 1 sequences"));
  EXPECT_EQ(a->length(), 0);
}

TEST_F(EmbeddedSession, AFailedStepGivesItsBlocksBack) {
  auto session = Open({.max_tokens = 32, .max_seqs = 1});
  const auto a = session->NewSequence(), b = session->NewSequence();
  const int64_t free = session->pool().free();
  EXPECT_FALSE(session->Step({{a.get(), 1, false}, {b.get(), 1, false}}).ok());
  EXPECT_EQ(session->pool().free(), free);
}

TEST_F(EmbeddedSession, GenerationStopsForEachReason) {
  auto session = Open({.max_tokens = 32, .context = 32});
  GenerateOptions options{.sampling = {.temperature = 0}};
  std::vector<int32_t> text;
  options.on_token = [&](int32_t token) {
    text.push_back(token);
    return true;
  };
  const std::vector<int32_t> prompt = {532, 586, 258, 427};
  options.max_tokens = 5;
  auto result = Generate(*session, prompt, options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->reason, StopReason::kLength);
  EXPECT_EQ(text.size(), 5u);

  const int32_t end = text[3];
  options.is_end = [&](int32_t token) { return token == end; };
  result = Generate(*session, prompt, options);
  EXPECT_EQ(result->reason, StopReason::kEndOfGeneration);
  options.is_end = nullptr;

  options.max_tokens = -1;
  text.clear();
  result = Generate(*session, prompt, options);
  EXPECT_EQ(result->reason, StopReason::kContext);
  EXPECT_EQ(text.size(), 32u - prompt.size() + 1);  // the last token needs no room in the cache

  options.on_token = [](int32_t) { return false; };
  result = Generate(*session, prompt, options);
  EXPECT_EQ(result->reason, StopReason::kCallback);
}

TEST_F(EmbeddedSession, ATranscriptRunsOnlyWhatIsNew) {
  auto session = Open({.max_tokens = 32});
  Transcript transcript(*session);
  GenerateOptions options{.max_tokens = 6, .sampling = {.temperature = 0}};
  std::vector<int32_t> made;
  options.on_token = [&](int32_t token) {
    made.push_back(token);
    return true;
  };
  const auto prompted = [&](const std::vector<int32_t>& text) {
    const auto result = transcript.Continue(text, options);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? result->prompted : -1;
  };
  std::vector<int32_t> text = {532, 586, 258, 427};
  EXPECT_EQ(prompted(text), 4);
  text.insert(text.end(), made.begin(), made.end());
  text.insert(text.end(), {258, 427});
  made.clear();
  EXPECT_EQ(prompted(text), 3);  // the last token of the answer was made, but not run
  const std::vector<int32_t> continued = std::exchange(made, {});
  ASSERT_TRUE(Generate(*session, text, options).ok());
  EXPECT_EQ(continued, std::exchange(made, {}));

  EXPECT_EQ(prompted(text), 1);  // the last token's logits are needed
  text[2] = 586;
  EXPECT_EQ(prompted(text), static_cast<int64_t>(text.size()) - 2);
}

TEST_F(EmbeddedSession, AStoppedPromptIsGoneOnWith) {
  auto session = Open({.max_tokens = 32});
  Transcript transcript(*session);
  int asked = 0;
  GenerateOptions options{.max_tokens = 1, .sampling = {.temperature = 0}};
  options.is_stopped = [&] { return asked++ == 1; };
  const std::vector<int32_t> text(80, 5);
  const auto stopped = transcript.Continue(text, options);
  ASSERT_TRUE(stopped.ok()) << stopped.status();
  EXPECT_EQ(stopped->reason, StopReason::kCallback);
  EXPECT_EQ(stopped->prompted, 32);
  EXPECT_EQ(stopped->generated, 0);
  options.is_stopped = nullptr;
  const auto result = transcript.Continue(text, options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->prompted, 48);
  EXPECT_EQ(result->generated, 1);
}

TEST_F(EmbeddedSession, PromptsThatCannotBeContinuedAreRefused) {
  auto session = Open({.max_tokens = 32, .context = 32});
  EXPECT_THAT(std::string(Generate(*session, {}, {}).status().message()), HasSubstr("empty"));
  EXPECT_THAT(std::string(Generate(*session, std::vector<int32_t>(32, 1), {}).status().message()),
              HasSubstr("the prompt has 32 tokens, the context has room for 32"));
}

TEST_F(EmbeddedSession, TheSameSeedGivesTheSameText) {
  auto session = Open({.max_tokens = 32});
  const auto text = [&](uint64_t seed) {
    std::vector<int32_t> tokens;
    GenerateOptions options{.max_tokens = 24, .sampling = {.temperature = 1, .seed = seed}};
    options.on_token = [&](int32_t token) {
      tokens.push_back(token);
      return true;
    };
    EXPECT_TRUE(Generate(*session, {532, 586, 258, 427}, options).ok());
    return tokens;
  };
  EXPECT_EQ(text(1), text(1));
  EXPECT_NE(text(1), text(2));
}

TEST_F(EmbeddedSession, CpuAndReferenceGiveTheSameGreedyText) {
  const auto ref = MakeRefBackend();
  std::vector<std::vector<int32_t>> texts;
  for (Backend* backend : {ref.get(), backend_.get()}) {
    auto session = tools::OpenSession(
        *model_, *backend, {.k_type = DType::kF32, .v_type = DType::kF32}, {.prepack_bytes = 0});
    ASSERT_TRUE(session.ok()) << session.status();
    auto& text = texts.emplace_back();
    GenerateOptions options{.max_tokens = 100, .sampling = {.temperature = 0}};
    options.on_token = [&](int32_t token) {
      text.push_back(token);
      return true;
    };
    ASSERT_TRUE(Generate(**session, {532, 586, 258, 427}, options).ok());
  }
  EXPECT_EQ(texts[0], texts[1]);
}

TEST(Session, SaysWhyAGraphIsNoDecoder) {
  GraphBuilder b("other");
  b.Symbol("tokens", 4);
  b.Output(b.Op("y", "silu", {b.Input("x", {DType::kF32, {Dim::Symbol("tokens"), 4}})}));
  auto graph = std::move(b).Build();
  ASSERT_TRUE(graph.ok());
  const auto ref = MakeRefBackend();
  const auto session = Session::Create(*std::move(graph), {}, *ref, {});
  EXPECT_THAT(std::string(session.status().message()), HasSubstr("no decoder"));
}

}  // namespace
}  // namespace sluice
