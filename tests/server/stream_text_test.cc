// Answers on their way to clients: stop strings, characters, logprobs, and the channel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "models/files/gguf.h"
#include "models/unicode/utf8.h"
#include "runtime/logprobs.h"
#include "tests/support/paths.h"
#include "tools/server/admission.h"
#include "tools/server/answer_channel.h"
#include "tools/server/metrics.h"
#include "tools/server/stop_matcher.h"
#include "tools/server/text_stream.h"

namespace sluice::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// What is given out of `text`, pushed in pieces of `size` bytes.
std::string Cut(const std::vector<std::string>& stops, const std::string& text, size_t size) {
  StopMatcher matcher(stops);
  std::string out;
  for (size_t i = 0; i < text.size(); i += size) out += matcher.Push(text.substr(i, size));
  return out + matcher.Finish();
}

TEST(StopMatcher, GivesNothingOfAStopString) {
  for (size_t size = 1; size <= 12; ++size) {
    EXPECT_EQ(Cut({"STOP"}, "go STSTOPped", size), "go ST") << size;
    EXPECT_EQ(Cut({"aab"}, "aaaab!", size), "aa") << size;
    EXPECT_EQ(Cut({}, "anything", size), "anything") << size;
    EXPECT_EQ(Cut({"STOP"}, "no STO", size), "no STO") << size;
  }
}

TEST(StopMatcher, TheStringThatIsCompleteFirstCounts) {
  for (size_t size = 1; size <= 4; ++size) {
    EXPECT_EQ(Cut({"abcd", "bc"}, "xabcdy", size), "xa") << size;
    EXPECT_EQ(Cut({"bc", "abc"}, "xabcdy", size), "x") << size;  // the longer of two that end here
  }
}

TEST(StopMatcher, HoldsBackOnlyWhatMayBecomeAStopString) {
  StopMatcher matcher({"\n\nUser:"});
  EXPECT_EQ(matcher.Push("Hello.\n"), "Hello.");
  EXPECT_EQ(matcher.Push("x"), "\nx");
  EXPECT_EQ(matcher.Push("\n\nUs"), "");
  EXPECT_EQ(matcher.Push("e"), "");
  EXPECT_EQ(matcher.Push("d"), "\n\nUsed");
  EXPECT_FALSE(matcher.stopped());
  EXPECT_EQ(matcher.Push("\n\n\nUser: no"), "\n");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.Push("more") + matcher.Finish(), "");
}

// Against the definition: of all places where a stop string ends, the first.
TEST(StopMatcher, AgreesWithASearchInTheWholeText) {
  std::mt19937 random(1);
  const auto text_of = [&](size_t length) {
    std::string text;
    while (text.size() < length) text += static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int i = 0; i < 2000; ++i) {
    const std::vector<std::string> stops = {text_of(1 + random() % 5), text_of(2 + random() % 5)};
    const std::string text = text_of(12);
    size_t end = text.size() + 1, begin = text.size();
    for (const std::string& stop : stops) {
      const size_t at = text.find(stop);
      if (at == std::string::npos || at + stop.size() > end) continue;
      begin = at + stop.size() == end ? std::min(begin, at) : at;
      end = at + stop.size();
    }
    const std::string expected = end > text.size() ? text : text.substr(0, begin);
    ASSERT_EQ(Cut(stops, text, 1 + random() % 4), expected)
        << text << " " << stops[0] << " " << stops[1];
  }
}

class Texts : public testing::Test {
 protected:
  Texts() {
    file_ = *GgufFile::Open(TestDataDir() + "/tokenizer/tiny-bpe.vocab.gguf");
    std::vector<std::string> warnings;
    tokenizer_ = *Tokenizer::Load(*file_, &warnings);
  }
  std::vector<TokenId> Encode(const std::string& text) const {
    return tokenizer_->Encode(text, {.add_special = false});
  }

  std::unique_ptr<GgufFile> file_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(Texts, AreNeverCutWithinACharacter) {
  const std::string text = "a\u00e4\u4e2d\U0001F600 z";
  TextStream stream(*tokenizer_, {"\u4e2e"});  // which begins like the third character
  std::string all;
  for (const TokenId token : Encode(text)) {
    const std::string part = stream.Push(token).text;
    EXPECT_EQ(NormalizeUtf8(part), part);
    all += part;
  }
  EXPECT_EQ(all + stream.Finish().text, text);
}

TEST_F(Texts, LogprobsComeWithTheTextOfTheirTokens) {
  const std::vector<TokenId> tokens = Encode("ab \U0001F600!xyz");
  TextStream stream(*tokenizer_, {"xyz"});
  std::string text, tokens_text;
  for (const TokenId token : tokens) {
    stream.Expect({.text = tokenizer_->Piece(token, false)});
    const TextPart part = stream.Push(token);
    text += part.text;
    for (const LogprobEntry& entry : part.logprobs) tokens_text += entry.text;
    EXPECT_EQ(text, tokens_text);
  }
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(text, "ab \U0001F600!");
  EXPECT_TRUE(stream.Finish().logprobs.empty());
}

TEST(Logprobs, AreThoseOfTheSoftmax) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.125f), std::log(0.375f)};
  const Logprobs logprobs(logits);
  // float has 24 bits: the logits are rounded by 1e-7 at most.
  EXPECT_NEAR(logprobs.Of(0), std::log(0.5), 1e-6);
  EXPECT_NEAR(logprobs.Of(1), std::log(0.125), 1e-6);
  EXPECT_THAT(logprobs.Top(2), ElementsAre(0, 2));
  EXPECT_THAT(logprobs.Top(9), ElementsAre(0, 2, 1));
  EXPECT_TRUE(logprobs.Top(0).empty());
}

AnswerEvent EventOf(const std::string& text) { return {.part = {.text = text}}; }

TEST(AnswerChannel, GivesEventsInTheirOrder) {
  AnswerChannel channel(1 << 20);
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(channel.Push(EventOf(std::to_string(i))));
    channel.Push({.end = AnswerEvent::End{}});
  });
  std::string all;
  for (bool ended = false; !ended;) {
    for (const AnswerEvent& event :
         channel.Take(AnswerChannel::Clock::now() + std::chrono::seconds(60))) {
      all += event.part.text;
      ended = event.end.has_value();
    }
  }
  other.join();
  std::string expected;
  for (int i = 0; i < 100; ++i) expected += std::to_string(i);
  EXPECT_EQ(all, expected);
  EXPECT_TRUE(channel.Take(AnswerChannel::Clock::now()).empty());
}

TEST(AnswerChannel, HoldsNoMoreThanItsBound) {
  AnswerChannel channel(10000);
  int taken = 0;
  while (taken < 100 && channel.Push(EventOf(std::string(1000, 'a')))) ++taken;
  EXPECT_LT(taken, 10);
  EXPECT_GT(taken, 5);
  EXPECT_TRUE(channel.overflowed());
  EXPECT_FALSE(channel.Push(EventOf("")));
  channel.Push({.end = AnswerEvent::End{}});  // the end always arrives
  EXPECT_TRUE(channel.Take(AnswerChannel::Clock::now()).back().end.has_value());
}

TEST(Admission, PlacesAreFreeAgainWhenTheirHoldersAreGone) {
  auto admission = std::make_unique<Admission>(3);
  const auto two = admission->Take(2);
  ASSERT_NE(two, nullptr);
  EXPECT_EQ(admission->Take(2), nullptr);
  {
    const auto one = admission->Take(1);
    EXPECT_EQ(admission->taken(), 3);
  }
  EXPECT_EQ(admission->taken(), 2);
  admission = nullptr;  // a holder may live longer
}

TEST(Metrics, CountRequestsAndTimes) {
  Metrics metrics;
  metrics.Count({.path = "/v1/completions",
                 .status = 200,
                 .usage = {.prompt_tokens = 5, .completion_tokens = 3},
                 .first_token_seconds = 0.02,
                 .seconds = 0.04});
  metrics.Count({.path = "/v1/completions", .status = 400});
  const std::string text = metrics.Text(nullptr, 1);
  for (const char* const line :
       {"sluice_requests_total{route=\"/v1/completions\",status=\"400\"} 1\n",
        "sluice_prompt_tokens_total 5\n", "sluice_answers_in_flight 1\n",
        "# TYPE sluice_first_token_seconds histogram\n",
        "sluice_first_token_seconds_bucket{le=\"0.01\"} 0\n",
        "sluice_first_token_seconds_bucket{le=\"0.02\"} 1\n",
        "sluice_first_token_seconds_bucket{le=\"+Inf\"} 1\n",
        "sluice_token_seconds_bucket{le=\"0.01\"} 1\n", "sluice_answer_seconds_sum 0.04\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_EQ(metrics.totals().errors, 1);
}

}  // namespace
}  // namespace sluice::server
