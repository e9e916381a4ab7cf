// Steps that bring the likeliest tokens instead of whole rows give the same texts: on the CPU,
// which brings whole rows unless it is told otherwise.
#include "runtime/likeliest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "backends/cpu/cpu_backend.h"
#include "graph/text.h"
#include "models/model.h"
#include "runtime/generate.h"
#include "runtime/scheduler.h"
#include "tests/support/model_file.h"
#include "tools/engine/session.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using Tokens = std::vector<int32_t>;

class Likeliest : public testing::Test {
 protected:
  void SetUp() override {
    auto model = Model::LoadEmbedded();
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    chosen_ = Open(true);
    whole_ = Open(false);
  }

  std::unique_ptr<Session> Open(bool chooses) {
    auto session =
        tools::OpenSession(*model_, *backend_, {.max_tokens = 8, .max_seqs = 2, .context = 64},
                           {.max_outputs = 8, .prepack_bytes = 0, .chooses_likeliest = chooses});
    EXPECT_TRUE(session.ok()) << session.status();
    return *std::move(session);
  }

  static std::vector<StepToken> AllOf(Sequence& sequence, const Tokens& tokens) {
    std::vector<StepToken> step;
    for (const int32_t token : tokens) step.push_back({&sequence, token, true});
    return step;
  }

  static Tokens Text(Session& session, GenerateOptions options) {
    Tokens text;
    options.max_tokens = 20;
    options.on_token = [&](int32_t token) {
      text.push_back(token);
      return true;
    };
    // More than a step takes.
    const Tokens prompt = {532, 586, 258, 427, 300, 9, 8, 7, 586, 258};
    const auto result = Generate(session, prompt, options);
    EXPECT_TRUE(result.ok()) << result.status();
    return text;
  }

  std::unique_ptr<Backend> backend_ = MakeCpuBackend({.threads = 2});
  std::unique_ptr<Model> model_;
  std::unique_ptr<Session> chosen_, whole_;
};

TEST_F(Likeliest, RowsAreTheLargestOfWholeOnes) {
  const auto a = chosen_->NewSequence(), b = whole_->NewSequence();
  const Tokens tokens = {5, 6, 7, 8};
  const auto rows = chosen_->StepRows(AllOf(*a, tokens), RowForm::kLikeliest);
  ASSERT_TRUE(rows.ok()) << rows.status();
  const auto logits = whole_->Step(AllOf(*b, tokens));
  ASSERT_TRUE(logits.ok()) << logits.status();
  ASSERT_EQ(rows->values.size(), tokens.size() * kLikeliest);
  const auto vocabulary = static_cast<size_t>(whole_->vocabulary());
  for (size_t row = 0; row < tokens.size(); ++row) {
    const auto all = logits->subspan(row * vocabulary, vocabulary);
    const LogitRows part = rows->Part(row * kLikeliest, kLikeliest);
    std::vector<float> sorted(all.begin(), all.end());
    std::sort(sorted.rbegin(), sorted.rend());
    for (size_t i = 0; i < kLikeliest; ++i) {
      EXPECT_EQ(part.values[i], sorted[i]) << i;
      EXPECT_EQ(all[static_cast<size_t>(part.tokens[i])], sorted[i]) << i;
    }
  }
}

TEST_F(Likeliest, ASessionGivesWholeRowsWhereItDoesNotChoose) {
  const auto sequence = whole_->NewSequence();
  const auto rows = whole_->StepRows(AllOf(*sequence, {5}), RowForm::kLikeliest);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_TRUE(rows->is_whole());
  EXPECT_EQ(static_cast<int64_t>(rows->values.size()), whole_->vocabulary());
}

TEST_F(Likeliest, StepsOfBothFormsContinueOneSequence) {
  const auto a = chosen_->NewSequence(), b = whole_->NewSequence();
  ASSERT_TRUE(chosen_->StepRows(AllOf(*a, {5, 6, 7}), RowForm::kLikeliest).ok());
  ASSERT_TRUE(whole_->Step(AllOf(*b, {5, 6, 7})).ok());
  const auto got = chosen_->Step(AllOf(*a, {8}));
  const auto expected = whole_->Step(AllOf(*b, {8}));
  ASSERT_TRUE(got.ok() && expected.ok());
  EXPECT_TRUE(std::equal(got->begin(), got->end(), expected->begin(), expected->end()));
}

TEST_F(Likeliest, TextsAreTheSameWhateverTheSampler) {
  const SamplerOptions kSamplers[] = {{.temperature = 0},
                                      {.seed = 7},
                                      {.temperature = 2, .top_k = 64, .top_p = 1, .min_p = 0},
                                      {.temperature = 1.5, .top_k = 5, .typical_p = 0.7},
                                      {.top_k = 65},             // whole rows
                                      {.repeat_penalty = 1.5}};  // whole rows
  for (const SamplerOptions& sampling : kSamplers) {
    const GenerateOptions options{.sampling = sampling};
    EXPECT_EQ(Text(*chosen_, options), Text(*whole_, options))
        << "top_k " << sampling.top_k << " at " << sampling.temperature;
  }
}

TEST_F(Likeliest, DraftsHoldAsTheyDoOnWholeRows) {
  const GenerateOptions options{.sampling = {.temperature = 0}, .draft = {.ngram = 2, .max = 4}};
  EXPECT_EQ(Text(*chosen_, options), Text(*whole_, options));
}

TEST_F(Likeliest, WhoLooksAtLogitsGetsWholeRows) {
  size_t width = 0;
  GenerateOptions options{.sampling = {.temperature = 0}};
  EXPECT_EQ(options.row_form(), RowForm::kLikeliest);
  options.on_logits = [&](int32_t, absl::Span<const float> logits) { width = logits.size(); };
  EXPECT_EQ(options.row_form(), RowForm::kWhole);
  Text(*chosen_, options);
  EXPECT_EQ(static_cast<int64_t>(width), chosen_->vocabulary());
}

// One request that wants whole rows makes its steps give them to all.
TEST_F(Likeliest, RequestsOfBothKindsRunTogether) {
  std::vector<std::vector<Tokens>> texts;  // by session and request
  for (Session* session : {chosen_.get(), whole_.get()}) {
    Scheduler scheduler(*session, {});
    std::vector<Tokens>& own = texts.emplace_back(3);
    for (size_t i = 0; i < own.size(); ++i) {
      Request request{.id = static_cast<int64_t>(i), .prompt = {5, 6, static_cast<int32_t>(7 + i)}};
      request.options.max_tokens = 10 + 5 * static_cast<int64_t>(i);
      request.options.sampling = {.repeat_penalty = i == 1 ? 1.3 : 1.0, .seed = i};
      request.options.on_token = [&text = own[i]](int32_t token) {
        text.push_back(token);
        return true;
      };
      request.on_finish = [](const RequestResult& result) {
        EXPECT_TRUE(result.status.ok()) << result.status;
      };
      scheduler.Add(std::move(request));
    }
    while (!scheduler.idle()) scheduler.Step();
  }
  EXPECT_EQ(texts[0], texts[1]);
}

TEST_F(Likeliest, TheGraphShowsTheChoiceAndNotTheLogits) {
  auto executable = chosen_->ExecutableFor(1, RowForm::kLikeliest);
  ASSERT_TRUE(executable.ok()) << executable.status();
  const Graph& graph = (*executable)->graph();
  ASSERT_EQ(graph.outputs().size(), 2u);
  EXPECT_THAT(Print(graph),
              HasSubstr("%likeliest, %likeliest_ids = top_k(%logits) {k=64} : f32[outputs,64], "
                        "i32[outputs,64] kernel(\"cpu.top_k\")"));
  EXPECT_NE(*executable, *chosen_->ExecutableFor(1));
  EXPECT_EQ(*whole_->ExecutableFor(1, RowForm::kLikeliest), *whole_->ExecutableFor(1));
}

TEST_F(Likeliest, IsLeftToDevicesThatCopyTheirOutputs) {
  EXPECT_FALSE(CopiesLogits(whole_->graph(), *backend_));
}

// As many tokens as there are, where those are few.
TEST(LikeliestOfFew, IsAllOfThem) {
  ModelFiles files;
  files.push_back(ModelFile("llama").RandomWeights().Open());
  auto model = Model::FromFiles(std::move(files));
  ASSERT_TRUE(model.ok()) << model.status();
  auto graph = (*model)->BuildGraph({.max_tokens = 1, .context = 16});
  ASSERT_TRUE(graph.ok()) << graph.status();
  const int64_t vocabulary = graph->outputs()[0]->type().shape[1].factor();
  const auto changed = WithLikeliest(*std::move(graph));
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_EQ(changed->outputs()[1]->type().shape[1].factor(), std::min(vocabulary, kLikeliest));
}

}  // namespace
}  // namespace sluice
