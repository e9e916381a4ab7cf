// WordPiece: words, longest tokens first, and what models of this kind add. The ids of the texts
// below are those that llama.cpp gives for the same vocabulary.
#include "models/text/wordpiece.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/text/tokenizer.h"
#include "tests/support/model_file.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Ids = std::vector<TokenId>;

constexpr WordPieceOptions kCased = {.lower_case = false, .strip_accents = false};

TEST(SplitWords, AtSpacePunctuationAndIdeographs) {
  EXPECT_THAT(SplitWords(" Hello,\tWORLD! ", {}), ElementsAre("hello", ",", "world", "!"));
  EXPECT_THAT(SplitWords("a\u3000b\u00A0c\u2028d\u0085e", {}),
              ElementsAre("a", "b", "c", "d", "e"));
  EXPECT_THAT(SplitWords("x中文y", {}), ElementsAre("x", "中", "文", "y"));
  EXPECT_THAT(SplitWords("a$b`c\u20ACd", {}), ElementsAre("a", "$", "b", "`", "c\u20ACd"));
  EXPECT_THAT(SplitWords("", {}), IsEmpty());
}

TEST(SplitWords, LeavesOutWhatIsNoText) {
  const std::string text = std::string("a\0b\x01", 4) + "c\u200Bd\uFFFDe\xFF" + "g";
  EXPECT_THAT(SplitWords(text, {}), ElementsAre("abcdeg"));
}

TEST(SplitWords, AccentsAndCapitalsAreOptions) {
  const absl::string_view text = "Caf\u00E9 E\u0301 \u0130 \u01D5";
  EXPECT_THAT(SplitWords(text, {}), ElementsAre("cafe", "e", "i", "u"));
  EXPECT_THAT(SplitWords(text, {.strip_accents = false}),
              ElementsAre("caf\u00E9", "e\u0301", "i", "\u01D6"));
  EXPECT_THAT(SplitWords(text, kCased), ElementsAre("Caf\u00E9", "E\u0301", "\u0130", "\u01D5"));
  // Of a Hangul syllable only the first consonant stays.
  EXPECT_THAT(SplitWords("\uD55C", {}), ElementsAre("\u1112"));
}

struct Loaded {
  std::unique_ptr<GgufFile> file;
  std::unique_ptr<Tokenizer> tokenizer;

  Ids Encode(absl::string_view text, TokenizeOptions options = {.add_special = false}) const {
    return tokenizer->Encode(text, options);
  }
};

ModelFile Bert() {
  return ModelFile("llama")
      .Text("tokenizer.ggml.model", "bert")
      .Texts("tokenizer.ggml.tokens",
             {"[PAD]",  "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁un", "▁run", "▁hello",
              "▁world", "▁cafe", "▁a",    "▁,",    "▁!",     "▁中", "▁文",  "▁Hello",
              "▁café",  "aff",   "able",  "ning",  "s",      "b"})
      .Ints("tokenizer.ggml.token_type",
            {3, 3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1})
      .Int("tokenizer.ggml.bos_token_id", 2)
      .Int("tokenizer.ggml.unknown_token_id", 1)
      .Int("tokenizer.ggml.seperator_token_id", 3);
}

Loaded Load(const ModelFile& source) {
  Loaded loaded;
  loaded.file = source.Open();
  std::vector<std::string> warnings;
  auto tokenizer = Tokenizer::Load(*loaded.file, &warnings);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT(warnings, IsEmpty());
  loaded.tokenizer = *std::move(tokenizer);
  return loaded;
}

TEST(WordPiece, WordsAreBuiltFromTheLongestTokens) {
  const Loaded bert = Load(Bert());
  EXPECT_THAT(bert.Encode("unaffable running"), ElementsAre(5, 17, 18, 6, 19));
  EXPECT_THAT(bert.Encode("HELLO, worlds!"), ElementsAre(7, 11, 8, 20, 12));
  EXPECT_THAT(bert.Encode("Café 中文a"), ElementsAre(9, 13, 14, 10));
}

TEST(WordPiece, AWordThatCannotBeBuiltIsUnknown) {
  const Loaded bert = Load(Bert());
  EXPECT_THAT(bert.Encode("zzz hello"), ElementsAre(1, 7));
  EXPECT_THAT(bert.Encode("unaffablez a"), ElementsAre(1, 10));  // also if it begins well
}

TEST(WordPiece, TextStandsBetweenItsMarks) {
  const Loaded bert = Load(Bert());
  EXPECT_THAT(bert.Encode("hello", {}), ElementsAre(2, 7, 3));
  EXPECT_THAT(bert.Encode("[MASK] hello", {.parse_special = true}), ElementsAre(2, 4, 7, 3));
  EXPECT_EQ(bert.tokenizer->Decode({7, 8, 20}), " hello worlds");
  EXPECT_EQ(bert.tokenizer->Detokenize({2, 7, 11, 8, 12}), " hello, world!");
}

TEST(WordPiece, MarksThatTheVocabularyLacksAreLeftOut) {
  const Loaded bert = Load(Bert()
                               .Remove("tokenizer.ggml.bos_token_id")
                               .Remove("tokenizer.ggml.unknown_token_id")
                               .Remove("tokenizer.ggml.seperator_token_id"));
  EXPECT_THAT(bert.Encode("zzz hello", {}), ElementsAre(7));
}

TEST(WordPiece, TheFileSaysHowTextIsNormalized) {
  const char* lower = "tokenizer.ggml.normalizer.lowercase";
  const char* strip = "tokenizer.ggml.normalizer.strip_accents";
  EXPECT_THAT(Load(Bert().Bool(lower, false)).Encode("Hello café"), ElementsAre(15, 16));
  EXPECT_THAT(Load(Bert().Bool(strip, false)).Encode("Hello CAFÉ"), ElementsAre(7, 16));
  EXPECT_THAT(Load(Bert().Bool(lower, false).Bool(strip, true)).Encode("Hello café"),
              ElementsAre(15, 9));
}

TEST(WordPiece, LongWordsAndTokensTakeBoundedTime) {
  const Loaded bert = Load(Bert());
  EXPECT_THAT(bert.Encode(std::string(1 << 20, 'z')), ElementsAre(1));
  std::string built = "a";
  built.append(1 << 20, 'b');
  EXPECT_EQ(bert.Encode(built).size(), built.size());
}

}  // namespace
}  // namespace sluice
