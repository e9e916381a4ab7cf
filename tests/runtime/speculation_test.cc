#include "runtime/speculation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>

#include "backends/cpu/cpu_backend.h"
#include "models/model.h"
#include "runtime/generate.h"
#include "tests/support/sanitized.h"
#include "tools/engine/session.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Tokens = std::vector<int32_t>;

constexpr int64_t kVocabulary = 10;

// What is guessed first, before anything is known of how good guesses are.
Tokens Guess(const DraftOptions& options, const Tokens& text, int64_t most = 100) {
  Speculation speculation(options);
  speculation.Draft(text, most);
  return {speculation.draft().begin(), speculation.draft().end()};
}

TEST(Speculation, GuessesWhatCameAfterTheLastLikePlace) {
  EXPECT_THAT(Guess({.ngram = 3}, {1, 2, 3, 7, 1, 2, 3, 8, 1, 2, 3}), ElementsAre(8, 1));
  EXPECT_THAT(Guess({.ngram = 3}, {1, 2, 3, 7, 6, 0, 2, 3, 8, 1, 2, 3}), ElementsAre(7, 6));
  EXPECT_THAT(Guess({.ngram = 2}, {1, 2, 3, 7, 6, 0, 2, 3, 8, 1, 2, 3}), ElementsAre(8, 1));
  EXPECT_THAT(Guess({.ngram = 3}, {4, 3, 7, 2, 3}), IsEmpty());  // one token says too little
  EXPECT_THAT(Guess({.ngram = 1}, {4, 3, 7, 2, 3}), ElementsAre(7, 2));
  EXPECT_THAT(Guess({.ngram = 0}, {1, 1, 1, 1}), IsEmpty());
  for (const Tokens& text : {Tokens{}, Tokens{1}, Tokens{1, 1}, Tokens{1, 2}}) {
    EXPECT_THAT(Guess({.ngram = 3}, text), IsEmpty());
  }
}

TEST(Speculation, GoesOnBeyondTheEndOfTheText) {
  EXPECT_THAT(Guess({.ngram = 3}, {5, 5, 5}), ElementsAre(5, 5));
  EXPECT_THAT(Guess({.ngram = 2}, {9, 3, 4, 3, 4}), ElementsAre(3, 4));
  EXPECT_THAT(Guess({.ngram = 2}, {9, 3, 4, 3, 4}, 1), ElementsAre(3));
  EXPECT_THAT(Guess({.ngram = 2, .max = 1}, {9, 3, 4, 3, 4}), ElementsAre(3));
  EXPECT_THAT(Guess({.ngram = 2}, {9, 3, 4, 3, 4}, 0), IsEmpty());
  EXPECT_THAT(Guess({.ngram = 2}, {9, 3, 4, 3, 4}, -5), IsEmpty());
}

// Rows of logits that give `tokens` to a greedy sampler.
std::vector<float> Rows(const Tokens& tokens) {
  std::vector<float> rows(tokens.size() * kVocabulary);
  for (size_t i = 0; i < tokens.size(); ++i) {
    rows[i * kVocabulary + static_cast<size_t>(tokens[i])] = 1;
  }
  return rows;
}

class Taking : public testing::Test {
 protected:
  void Take(const Tokens& drawn, int64_t room = 100) {
    const auto goes_on = speculation_.Take({Rows(drawn)}, room, answer_, &text_);
    ASSERT_TRUE(goes_on.ok()) << goes_on.status();
    goes_on_ = *goes_on;
  }

  GenerateOptions options_{.max_tokens = 20, .sampling = {.temperature = 0}};
  Answer answer_{options_, {}};
  Speculation speculation_{{.ngram = 2, .max = 8}};
  Tokens text_ = {1, 2, 3, 4, 1, 2};
  bool goes_on_ = false;
};

TEST_F(Taking, HoldsWhatTheSamplerDrawsToo) {
  speculation_.Draft(text_, 100);
  ASSERT_THAT(speculation_.draft(), ElementsAre(3, 4));
  Take({3, 5, 9});
  EXPECT_TRUE(goes_on_);
  EXPECT_EQ(speculation_.held(), 1);
  EXPECT_THAT(text_, ElementsAre(1, 2, 3, 4, 1, 2, 3, 5));
  EXPECT_EQ(answer_.generated(), 2);
  EXPECT_EQ(speculation_.drafted(), 2);
  EXPECT_EQ(speculation_.accepted(), 1);
}

TEST_F(Taking, ADraftThatHoldsGivesOneTokenMore) {
  speculation_.Draft(text_, 100);
  Take({3, 4, 9});
  EXPECT_EQ(speculation_.held(), 2);
  EXPECT_THAT(text_, ElementsAre(1, 2, 3, 4, 1, 2, 3, 4, 9));
}

TEST_F(Taking, DraftsAreAsLongAsGuessesAreRight) {
  text_ = {5, 5, 5};
  for (const size_t length : {2, 4, 8, 8}) {
    text_.resize(3);
    speculation_.Draft(text_, 100);
    ASSERT_EQ(speculation_.draft().size(), length);
    Answer answer(options_, {});
    ASSERT_TRUE(*speculation_.Take({Rows(Tokens(length + 1, 5))}, 100, answer, &text_));
  }
  text_.resize(3);
  speculation_.Draft(text_, 100);
  Answer answer(options_, {});
  ASSERT_TRUE(*speculation_.Take({Rows(Tokens(9, 6))}, 100, answer, &text_));
  text_ = {5, 5, 5};
  speculation_.Draft(text_, 100);
  EXPECT_EQ(speculation_.draft().size(), 1);
}

TEST_F(Taking, EndsWhereTheAnswerEnds) {
  options_.max_tokens = 2;
  speculation_.Draft(text_, 100);
  Take({3, 4, 9});
  EXPECT_FALSE(goes_on_);
  EXPECT_EQ(answer_.reason(), StopReason::kLength);
  EXPECT_EQ(answer_.generated(), 2);
  EXPECT_EQ(speculation_.held(), 1);
  EXPECT_THAT(text_, ElementsAre(1, 2, 3, 4, 1, 2, 3));
}

TEST_F(Taking, EndsWhereTheContextEnds) {
  speculation_.Draft(text_, 100);
  Take({3, 4, 9}, /*room=*/1);
  EXPECT_FALSE(goes_on_);
  EXPECT_EQ(answer_.reason(), StopReason::kContext);
  EXPECT_EQ(answer_.generated(), 2);
}

TEST_F(Taking, AnErrorLeavesWhatWasRightBeforeIt) {
  speculation_.Draft(text_, 100);
  std::vector<float> rows = Rows({3, 4, 9});
  rows[kVocabulary] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(speculation_.Take({rows}, 100, answer_, &text_).ok());
  EXPECT_EQ(speculation_.held(), 1);
  EXPECT_THAT(text_, ElementsAre(1, 2, 3, 4, 1, 2, 3));
}

TEST(DraftOptions, NameWhatIsOutOfRange) {
  EXPECT_TRUE(DraftOptions().Check().ok());
  EXPECT_THAT(DraftOptions({.ngram = -1}).Check().message(), HasSubstr("n-gram of drafts is -1"));
  EXPECT_THAT(DraftOptions({.ngram = 65}).Check().message(), HasSubstr("0 to 64"));
  EXPECT_THAT(DraftOptions({.max = 0}).Check().message(), HasSubstr("have 0 tokens"));
}

// The embedded model. A step's number of rows changes logits by some 1e-6: its texts have no place
// where that decides.
class Generating : public testing::Test {
 protected:
  void SetUp() override {
    auto model = Model::LoadEmbedded();
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    backend_ = MakeCpuBackend({.threads = 2});
    auto session = tools::OpenSession(*model_, *backend_,
                                      {.max_tokens = 32, .max_seqs = 2, .context = kContext},
                                      {.max_outputs = 9, .prepack_bytes = 0});
    ASSERT_TRUE(session.ok()) << session.status();
    session_ = *std::move(session);
  }

  struct Outcome {
    Tokens tokens;
    GenerateResult result;
  };
  static Outcome Continue(Transcript& transcript, const Tokens& text, GenerateOptions options) {
    Outcome outcome{{}, {StopReason::kLength}};
    options.on_token = [&](int32_t token) {
      outcome.tokens.push_back(token);
      return true;
    };
    const auto result = transcript.Continue(text, options);
    EXPECT_TRUE(result.ok()) << result.status();
    if (result.ok()) outcome.result = *result;
    return outcome;
  }

  static constexpr int64_t kContext = 128;
  // Repeats itself, so that there is much to guess.
  static Tokens Prompt() {
    Tokens prompt;
    for (int i = 0; i < 40; ++i) prompt.push_back(3 + i % 10 * 7);
    return prompt;
  }

  std::unique_ptr<Model> model_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Session> session_;
};

TEST_F(Generating, DraftsChangeNothingButTheSteps) {
  int64_t accepted = 0;
  for (const double temperature : {0.0, 0.3, 1.0}) {
    for (const double penalty : {1.0, 1.1}) {
      for (uint64_t seed = 1; seed <= (kSanitized ? 1 : 3); ++seed) {
        GenerateOptions options{.max_tokens = -1};
        options.sampling = {.temperature = temperature, .repeat_penalty = penalty, .seed = seed};
        Transcript plain(*session_), drafted(*session_);
        const Outcome expected = Continue(plain, Prompt(), options);
        options.draft = {.ngram = 3, .max = 8};
        const Outcome outcome = Continue(drafted, Prompt(), options);
        EXPECT_EQ(outcome.tokens, expected.tokens);
        EXPECT_EQ(outcome.result.reason, StopReason::kContext);
        EXPECT_EQ(expected.result.drafted, 0);
        accepted += outcome.result.accepted;
        EXPECT_LE(outcome.result.accepted, outcome.result.drafted);
      }
    }
  }
  EXPECT_GT(accepted, kSanitized ? 5 : 20);
}

// What was guessed wrongly, or not looked at any more, is not in the text that is gone on with.
TEST_F(Generating, ATextIsGoneOnWithAfterDrafts) {
  GenerateOptions options{.max_tokens = 12, .sampling = {.temperature = 0}};
  options.draft = {.ngram = 1, .max = 8};
  Transcript transcript(*session_);
  Tokens text = Prompt();
  for (int turn = 0; turn < 4; ++turn) {
    int64_t asked = 0;
    options.is_stopped = [&] { return turn == 2 && ++asked > 3; };
    const Outcome outcome = Continue(transcript, text, options);
    text.insert(text.end(), outcome.tokens.begin(), outcome.tokens.end());
    text.push_back(5 + turn);
    Transcript fresh(*session_);
    GenerateOptions plain{.max_tokens = 4, .sampling = {.temperature = 0}};
    EXPECT_EQ(Continue(transcript, text, plain).tokens, Continue(fresh, text, plain).tokens);
  }
}

TEST_F(Generating, WithoutSpareRowsThereAreNoDrafts) {
  auto session =
      tools::OpenSession(*model_, *backend_, {.max_tokens = 32, .max_seqs = 2, .context = kContext},
                         {.prepack_bytes = 0});
  ASSERT_TRUE(session.ok()) << session.status();
  GenerateOptions options{.max_tokens = 20, .sampling = {.temperature = 0}};
  options.draft = {.ngram = 3, .max = 8};
  Transcript transcript(**session);
  EXPECT_EQ(Continue(transcript, Prompt(), options).result.drafted, 0);
}

}  // namespace
}  // namespace sluice
