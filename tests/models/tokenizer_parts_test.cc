// What the tokenizers are made of, each on its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "models/text/pretokenizer.h"
#include "models/text/special_tokens.h"
#include "models/text/symbol_merge.h"
#include "models/text/tidy_spaces.h"
#include "models/unicode/utf8.h"
#include "tests/support/model_file.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(NormalizeUtf8, LeavesValidTextAlone) {
  const std::string text = "a\u00E9\u07FF\u0800\uFFFF\U00010000\U0010FFFF";
  EXPECT_EQ(NormalizeUtf8(text), text);
  EXPECT_EQ(NormalizeUtf8(std::string("\0", 1)), std::string("\0", 1));
}

TEST(NormalizeUtf8, ReplacesWhatIsNoCharacter) {
  EXPECT_EQ(NormalizeUtf8("a\xFF"), "a\uFFFD");
  EXPECT_EQ(NormalizeUtf8("\x80\xBF"), "\uFFFD\uFFFD");
  EXPECT_EQ(NormalizeUtf8("\xE2\x82"), "\uFFFD\uFFFD");
  EXPECT_EQ(NormalizeUtf8("\xE2(\xA1"), "\uFFFD(\uFFFD");
  EXPECT_EQ(NormalizeUtf8("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");  // U+110000
  EXPECT_EQ(NormalizeUtf8("\xF8\x88\x80\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD");
}

TEST(NormalizeUtf8, IsLenientWhereLlamaCppIs) {
  EXPECT_EQ(NormalizeUtf8("\xED\xB0\x80"), "\xED\xB0\x80");    // a lone surrogate
  EXPECT_EQ(NormalizeUtf8("\xC1\x81"), "A");                   // overlong
  EXPECT_EQ(NormalizeUtf8("\xF0\x82\x82\xAC"), "\u20AC");      // overlong
  EXPECT_EQ(NormalizeUtf8("\xC0\x80"), std::string("\0", 1));  // overlong
}

TEST(UnfinishedUtf8, CountsBytesThatAwaitMore) {
  EXPECT_EQ(UnfinishedUtf8(""), 0u);
  EXPECT_EQ(UnfinishedUtf8("a\xC3"), 1u);
  EXPECT_EQ(UnfinishedUtf8("a\xE2\x82"), 2u);
  EXPECT_EQ(UnfinishedUtf8("\xF0\x9F\x98"), 3u);
  EXPECT_EQ(UnfinishedUtf8("\xF0\x9F\x98\x80"), 0u);
  EXPECT_EQ(UnfinishedUtf8("\x80\x80\x80\x80"), 0u);
  EXPECT_EQ(UnfinishedUtf8("\xE0\x9F"), 0u);
  EXPECT_EQ(UnfinishedUtf8("\xF5"), 0u);
}

// Merges pairs whose texts are in the table.
std::vector<std::string> Merged(const std::string& text,
                                const std::map<std::string, double>& costs) {
  std::vector<Symbol> symbols;
  symbols.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) symbols.push_back({i, i + 1, kNoToken});
  symbols = MergeSymbols(std::move(symbols), [&](const Symbol& left, const Symbol& right) {
    const auto cost = costs.find(text.substr(left.begin, right.end - left.begin));
    return cost == costs.end() ? Merge{} : Merge{0, cost->second};
  });
  std::vector<std::string> result;
  for (const Symbol& symbol : symbols) {
    result.push_back(text.substr(symbol.begin, symbol.end - symbol.begin));
  }
  return result;
}

TEST(MergeSymbols, CheapestFirstThenLeftmost) {
  EXPECT_THAT(Merged("", {}), IsEmpty());
  EXPECT_THAT(Merged("abc", {}), ElementsAre("a", "b", "c"));
  EXPECT_THAT(Merged("abc", {{"ab", 2}, {"bc", 1}}), ElementsAre("a", "bc"));
  EXPECT_THAT(Merged("aaa", {{"aa", 1}}), ElementsAre("aa", "a"));
  EXPECT_THAT(Merged("aaaa", {{"aa", 1}, {"aaaa", 9}}), ElementsAre("aaaa"));
  // "bc" is out of date once "ab" is taken, "abc" comes about through the merge.
  EXPECT_THAT(Merged("abcd", {{"ab", 1}, {"bc", 2}, {"cd", 4}, {"abc", 3}}),
              ElementsAre("abc", "d"));
}

TEST(TidySpaces, DoesWhatLlamaCppDoes) {
  EXPECT_EQ(TidySpaces("Hello , world !  ?"), "Hello, world! ?");
  EXPECT_EQ(TidySpaces("it 's I 'm we 're they 've"), "it's I'm we're they've");
  EXPECT_EQ(TidySpaces("do n't I 'd we 'll"), "do n't I 'd we 'll");
  EXPECT_EQ(TidySpaces("rock ' n ' roll"), "rock'n'roll");
  EXPECT_EQ(TidySpaces(" ' ' "), "'' ");
  EXPECT_EQ(TidySpaces(" ."), ".");
  EXPECT_EQ(TidySpaces("a : b ; c"), "a : b ; c");
  EXPECT_EQ(TidySpaces(""), "");
}

class SpecialTokensTest : public testing::Test {
 protected:
  // `types` as in tokenizer.ggml.token_type.
  void Make(const std::vector<std::string>& texts, const std::vector<int32_t>& types,
            bool swallow = false) {
    file_ = ModelFile("llama")
                .Text("tokenizer.ggml.model", "gpt2")
                .Texts("tokenizer.ggml.tokens", texts)
                .Ints("tokenizer.ggml.token_type", types)
                .Open();
    std::vector<std::string> warnings;
    auto vocabulary = Vocabulary::Load(*file_, &warnings);
    ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
    vocabulary_ = *std::move(vocabulary);
    tokens_ = std::make_unique<SpecialTokens>(*vocabulary_, swallow);
  }

  // Special tokens as [id].
  std::string Split(absl::string_view text, bool parse_control = true) const {
    const TextRange all = {0, text.size()};
    return Split(text, absl::MakeConstSpan(&all, parse_control ? 1 : 0));
  }
  std::string Split(absl::string_view text, absl::Span<const TextRange> markup) const {
    return absl::StrJoin(tokens_->Split(text, markup), "|",
                         [](std::string* out, const Fragment& fragment) {
                           absl::StrAppend(out, fragment.text);
                           if (fragment.id != kNoToken) absl::StrAppend(out, "[", fragment.id, "]");
                         });
  }

 private:
  std::unique_ptr<GgufFile> file_;
  std::unique_ptr<Vocabulary> vocabulary_;
  std::unique_ptr<SpecialTokens> tokens_;
};

TEST_F(SpecialTokensTest, FindsTokensOfTheKindsAskedFor) {
  Make({"<n>", "<u>", "<c>", "<k>", "<b>"}, {1, 2, 3, 4, 6});
  EXPECT_EQ(Split("<n><u><c><k><b>"), "<n>|<u>[1]|<c>[2]|<k>[3]|<b>");
  EXPECT_EQ(Split("<n><u><c><k><b>", /*parse_control=*/false), "<n><u><c>|<k>[3]|<b>");
  EXPECT_EQ(Split(""), "");
  EXPECT_EQ(Split("<k"), "<k");
  EXPECT_EQ(Split("<k><k>"), "<k>[3]|<k>[3]");
}

TEST_F(SpecialTokensTest, ControlTokensCountWithinMarkupOnly) {
  Make({"<c>", "<k>"}, {3, 4});
  const std::vector<TextRange> markup = {{0, 4}, {7, 9}};
  EXPECT_EQ(Split("<c><c><c>", markup), "<c>[0]|<c><c>");  // the third is only partly mark-up
  EXPECT_EQ(Split("a<c><k><c>", {{0, 4}, {7, 10}}), "a|<c>[0]|<k>[1]|<c>[0]");
  EXPECT_EQ(Split("<c>a<c>", {{4, 7}}), "<c>a|<c>[0]");
}

TEST_F(SpecialTokensTest, LongerTokensAreFoundFirst) {
  Make({"ab", "abc", "bcde", "b"}, {4, 4, 4, 4});
  EXPECT_EQ(Split("abc"), "abc[1]");
  EXPECT_EQ(Split("abcde"), "a|bcde[2]");  // not abc, although it begins further left
  EXPECT_EQ(Split("abab"), "ab[0]|ab[0]");
  EXPECT_EQ(Split("xbx"), "x|b[3]|x");
}

TEST_F(SpecialTokensTest, OfEqualLengthTheFirstIdIsFoundFirst) {
  Make({"ba", "ab"}, {4, 4});
  EXPECT_EQ(Split("aba"), "a|ba[0]");
}

TEST_F(SpecialTokensTest, SwallowsSpace) {
  Make({"<x>", "<s>", "<y>"}, {3, 3, 4}, /*swallow=*/true);
  EXPECT_EQ(Split(" <x> \t\n<s> <y> "), " |<x>[0]|<s>[1]| |<y>[2]");
}

std::vector<std::string> Words(absl::string_view kind, absl::string_view text) {
  const PreTokenizerKind* const found = FindPreTokenizerKind(kind);
  if (found == nullptr) return {"unknown"};
  const absl::StatusOr<PreTokenizer> pre_tokenizer = PreTokenizer::Create(*found);
  EXPECT_TRUE(pre_tokenizer.ok()) << pre_tokenizer.status();
  std::vector<std::string> words;
  for (const absl::string_view word : pre_tokenizer->Split(text)) words.emplace_back(word);
  return words;
}

TEST(PreTokenizer, Gpt2) {
  EXPECT_THAT(Words("gpt-2", "I'm  here, it's 12345!\n\n x"),
              ElementsAre("I", "'m", " ", " here", ",", " it", "'s", " 12345", "!", "\n\n", " x"));
  EXPECT_THAT(Words("gpt-2", "I'M"), ElementsAre("I", "'", "M"));
  EXPECT_THAT(Words("gpt-2", "a \n"), ElementsAre("a", " \n"));
}

TEST(PreTokenizer, Llama3) {
  EXPECT_THAT(Words("llama-bpe", "I'M (here)\n\n 12345 x"),
              ElementsAre("I", "'M", " (", "here", ")\n\n", " ", "123", "45", " x"));
}

TEST(PreTokenizer, Qwen2) {
  EXPECT_THAT(Words("qwen2", "you'LL a.b 123"),
              ElementsAre("you", "'LL", " a", ".b", " ", "1", "2", "3"));
}

TEST(PreTokenizer, Qwen35KeepsMarksWithinWords) {
  const absl::string_view text = "e\u0301t \u0301!\u0301";
  EXPECT_THAT(Words("qwen2", text), ElementsAre("e", "\u0301t", " \u0301!\u0301"));
  EXPECT_THAT(Words("qwen35", text), ElementsAre("e\u0301t", " \u0301", "!\u0301"));
  EXPECT_THAT(Words("qwen35", "you'LL 12"), ElementsAre("you", "'LL", " ", "1", "2"));
}

TEST(PreTokenizer, Starcoder) {
  EXPECT_THAT(Words("starcoder", "x 12"), ElementsAre("x", " ", "1", "2"));
}

TEST(PreTokenizer, FalconAndDefault) {
  EXPECT_THAT(Words("falcon", "a `b` 12345"),
              ElementsAre("a", " ", "`", "b", "`", " ", "123", "45"));
  EXPECT_THAT(Words("default", "a, 1234"), ElementsAre("a", ",", " ", "123", "4"));
}

TEST(PreTokenizer, Deepseek) {
  EXPECT_THAT(Words("deepseek-coder", "int x, \u4F60\u597D 42\n"),
              ElementsAre("int", " x", ",", " ", "\u4F60\u597D", " ", "4", "2", "\n"));
  // The expression for punctuation takes ASCII letters as well.
  EXPECT_THAT(Words("deepseek-llm", "na\u00EFve \u4F60 ok.  "),
              ElementsAre("na", "\u00EF", "ve", " ", "\u4F60", " ok", ".", "  "));
  EXPECT_THAT(Words("deepseek-v3", "abc 1234 \u4F60(x)"),
              ElementsAre("abc", " ", "123", "4", " ", "\u4F60", "(x", ")"));
}

TEST(PreTokenizer, CasedWords) {
  EXPECT_THAT(Words("tekken", "XMLHttp 12"), ElementsAre("XMLHttp", " ", "1", "2"));
  EXPECT_THAT(Words("tekken", "helloWorld"), ElementsAre("hello", "World"));
  EXPECT_THAT(Words("gpt-4o", "It's 1234"), ElementsAre("It's", " ", "123", "4"));
}

TEST(PreTokenizer, SpacesAreThoseOfUnicode) {
  // U+0085, U+00A0 and U+3000 are White_Space, U+180E and U+200B are not.
  EXPECT_THAT(Words("qwen2", "\u0085\u00A0\u3000"), ElementsAre("\u0085\u00A0\u3000"));
  EXPECT_THAT(Words("gpt-2", "\u180E!"), ElementsAre("\u180E!"));
  EXPECT_THAT(Words("gpt-2", "\u200B!"), ElementsAre("\u200B!"));
}

TEST(PreTokenizer, SurrogatesAreNoLetters) {
  EXPECT_THAT(Words("gpt-2", "a\xED\xA0\x80z"), ElementsAre("a", "\xED\xA0\x80", "z"));
}

TEST(PreTokenizer, LosesNothingAndHangsOnNothing) {
  // A hundred thousand characters of each, which a quadratic expression would take minutes for.
  std::vector<std::string> texts;
  for (const absl::string_view unit : {"a", "A", "aA", "\u00E9", " ", "\n", " \t", "'", "!", "7",
                                       "!\n", "\u4F60", "\xED\xA0\x80", "e\u0301", " ~"}) {
    std::string text = "x";
    while (text.size() < 100'000) absl::StrAppend(&text, unit);
    texts.push_back(text + "x");
  }
  for (const PreTokenizerKind& kind : PreTokenizerKinds()) {
    for (const std::string& text : texts) {
      EXPECT_EQ(absl::StrJoin(Words(kind.name, text), ""), text) << kind.name;
    }
  }
}

TEST(PreTokenizer, UnknownKind) {
  EXPECT_EQ(FindPreTokenizerKind("nonesuch"), nullptr);
  EXPECT_EQ(NearestPreTokenizerKind("nonesuch"), nullptr);
  EXPECT_EQ(SimilarPreTokenizerName("nonesuch"), "");
}

// Names that llama.cpp takes for others: the same expressions, and the same habits of vocabularies.
TEST(PreTokenizer, AliasesAreTheSameKind) {
  const std::pair<const char*, const char*> aliases[] = {{"mellum", "gpt-2"},
                                                         {"a.x-4.0", "gpt-2"},
                                                         {"jina-de", "gpt-2"},
                                                         {"jina-es", "gpt-2"},
                                                         {"midm-2.0", "llama3"},
                                                         {"jina-v5-nano", "llama3"},
                                                         {"kormo", "qwen2"},
                                                         {"f2llmv2", "qwen2"},
                                                         {"solar-open", "qwen2"},
                                                         {"kanana2", "gpt-4o"},
                                                         {"talkie", "gpt-4o"},
                                                         {"minimax-m2", "gpt-4o"},
                                                         {"mellum2", "starcoder"},
                                                         {"joyai-llm", "deepseek-v3"},
                                                         {"hy_v4", "deepseek-v3"},
                                                         {"hunyuan-dense", "deepseek-v3"},
                                                         {"granite-docling", "trillion"}};
  for (const auto& [alias, name] : aliases) {
    const PreTokenizerKind* a = FindPreTokenizerKind(alias);
    const PreTokenizerKind* b = FindPreTokenizerKind(name);
    ASSERT_TRUE(a != nullptr && b != nullptr) << alias;
    EXPECT_EQ(a->patterns, b->patterns) << alias;
    EXPECT_EQ(a->whole_words, b->whole_words) << alias;
    EXPECT_EQ(a->adds_bos, b->adds_bos) << alias;
    EXPECT_EQ(a->tidies_spaces, b->tidies_spaces) << alias;
    EXPECT_EQ(NearestPreTokenizerKind(alias), nullptr) << alias;
  }
}

// A name with rules of its own stands in no list of those without.
TEST(PreTokenizer, StandInsAreKnown) {
  for (const char* name : {"viking", "bailingmoe2", "kimi-k2", "gemma4", "modern-bert", "youtu"}) {
    EXPECT_EQ(FindPreTokenizerKind(name), nullptr) << name;
    EXPECT_NE(NearestPreTokenizerKind(name), nullptr) << name;
  }
}

}  // namespace
}  // namespace sluice
