#include "runtime/constraint/grammar_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/constraint/json_schema.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::shared_ptr<const Grammar> Compile(const char* schema) {
  return *CompileJsonSchema(nlohmann::ordered_json::parse(schema));
}

std::vector<int32_t> AllowedBy(TokenFilter& filter) {
  const auto bits = filter.Allowed();
  std::vector<int32_t> tokens;
  EXPECT_TRUE(bits.ok()) << bits.status();
  if (!bits.ok()) return tokens;
  for (size_t t = 0; t < bits->size() * 64; ++t) {
    if (((*bits)[t / 64] >> (t % 64) & 1) != 0) tokens.push_back(static_cast<int32_t>(t));
  }
  return tokens;
}

TEST(TokenTrie, SharesWhatBeginsAlike) {
  const TokenTrie trie({"ab", "", "a", "abc", "b", "ab"}, {});
  std::string walk;
  for (const TokenTrie::Node& node : trie.nodes().first(trie.nodes().size() - 1)) {
    walk += static_cast<char>(node.byte);
    walk += static_cast<char>('0' + node.depth);
  }
  EXPECT_EQ(walk, "a0b1c2b0");
  EXPECT_EQ(trie.nodes()[0].end, 3);
  EXPECT_EQ(trie.nodes()[1].end, 3);
  EXPECT_EQ(trie.nodes()[3].end, 4);
  EXPECT_EQ(trie.depth(), 3);
  EXPECT_EQ(trie.tokens().size(), 5);
}

TEST(TokenTrie, LeavesOutWhatNoTextHolds) {
  const TokenTrie trie({"a", "</s>", std::string(TokenTrie::kMaxBytes + 1, 'a')}, {1, 7, -1});
  EXPECT_THAT(trie.tokens(), ElementsAre(0));
  EXPECT_THAT(trie.ends(), ElementsAre(1));
  EXPECT_EQ(trie.TextOf(1), "");
  EXPECT_EQ(trie.TextOf(2), "");
  EXPECT_EQ(trie.TextOf(-1), "");
  EXPECT_EQ(trie.TextOf(3), "");
  EXPECT_THAT(TokenTrie({}, {}).tokens(), IsEmpty());
}

constexpr int32_t kOpen = 0, kOpenOne = 1, kOne = 2, kComma = 3, kClose = 4, kOneClose = 5,
                  kEnd = 7;
const auto kTokens = std::make_shared<const TokenTrie>(
    std::vector<std::string>{"[", "[1", "1", ",", "]", "1]", "]x", "<end>"},
    std::vector<int32_t>{kEnd});

TEST(GrammarFilter, AllowsTokensThatFitAsAWhole) {
  GrammarFilter filter(Compile(R"({"type":"array","items":{"const":1},"maxItems":2})"), kTokens);
  EXPECT_THAT(AllowedBy(filter), ElementsAre(kOpen, kOpenOne));
  filter.Accept(kOpen);
  EXPECT_THAT(AllowedBy(filter), ElementsAre(kOne, kClose, kOneClose));
  filter.Accept(kOne);
  EXPECT_THAT(AllowedBy(filter), ElementsAre(kComma, kClose));
  filter.Accept(kComma);
  EXPECT_THAT(AllowedBy(filter), ElementsAre(kOne, kOneClose));
  EXPECT_FALSE(filter.IsComplete());
  filter.Accept(kOneClose);
  EXPECT_TRUE(filter.IsComplete());
  EXPECT_THAT(AllowedBy(filter), ElementsAre(kEnd));
}

TEST(GrammarFilter, ATextThatMayGoOnMayAlsoEnd) {
  GrammarFilter filter(Compile(R"({"type":"integer"})"), kTokens);
  EXPECT_THAT(AllowedBy(filter), ElementsAre(kOne));
  filter.Accept(kOne);
  EXPECT_THAT(AllowedBy(filter), ElementsAre(kOne, kEnd));
  EXPECT_FALSE(filter.IsComplete());
}

TEST(GrammarFilter, FailsWhereTheVocabularyLacksBytes) {
  GrammarFilter filter(Compile(R"({"type":"array","items":{"const":2},"minItems":1})"), kTokens);
  filter.Accept(kOpen);
  const auto allowed = filter.Allowed();
  EXPECT_EQ(allowed.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(allowed.status().message(), HasSubstr("after 1 bytes"));
}

TEST(GrammarFilter, ATokenThatWasNotAllowedLeadsNowhere) {
  for (const int32_t wrong : {kClose, kEnd, 99}) {
    GrammarFilter filter(Compile("true"), kTokens);
    filter.Accept(wrong);
    EXPECT_FALSE(filter.IsComplete());
    EXPECT_FALSE(filter.Allowed().ok());
  }
}

// Two ways to read each bracket make 2^n of them after n brackets.
TEST(GrammarFilter, TooManyWaysAreAnError) {
  GrammarFilter filter(Compile(R"({"anyOf":[{"type":"array","items":{"$ref":"#"}},
                                            {"type":"array","items":{"$ref":"#"}},
                                            {"const":1}]})"),
                       kTokens);
  absl::Status status;
  for (int i = 0; i < 40 && status.ok(); ++i) {
    filter.Accept(kOpen);
    status = filter.Allowed().status();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("too ambiguous"));
}

// Every count is a state of its own: they are forgotten now and then.
TEST(GrammarFilter, LongCountsTakeBoundedMemory) {
  const auto tokens = std::make_shared<const TokenTrie>(
      std::vector<std::string>{"a", "\"", "<end>"}, std::vector<int32_t>{2});
  GrammarFilter filter(Compile(R"({"type":"string","minLength":50000,"maxLength":50000})"), tokens);
  filter.Accept(1);
  for (int i = 0; i < 50000; ++i) {
    ASSERT_THAT(AllowedBy(filter), ElementsAre(0)) << i;
    filter.Accept(0);
  }
  EXPECT_THAT(AllowedBy(filter), ElementsAre(1));
}

}  // namespace
}  // namespace sluice
