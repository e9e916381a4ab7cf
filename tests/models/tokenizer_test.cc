#include "models/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "models/embedded/embedded_model.h"
#include "models/files/gguf.h"
#include "models/unicode/utf8.h"
#include "tests/support/paths.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Ids = std::vector<TokenId>;

struct Loaded {
  std::unique_ptr<GgufFile> file;
  std::unique_ptr<Tokenizer> tokenizer;
};

Loaded Load(absl::StatusOr<std::unique_ptr<GgufFile>> file) {
  EXPECT_TRUE(file.ok()) << file.status();
  std::vector<std::string> warnings;
  auto tokenizer = Tokenizer::Load(**file, &warnings);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT(warnings, IsEmpty());
  return {*std::move(file), *std::move(tokenizer)};
}

std::string OwnDir() { return TestDataDir() + "/tokenizer/"; }
std::string SharedDir() { return ConformanceDir() + "/tokenizer/"; }

Loaded LoadOwn(const std::string& name) {
  return Load(GgufFile::Open(OwnDir() + name + ".vocab.gguf"));
}

std::string ReadFile(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream) << path;
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

nlohmann::json ReadJson(const std::string& path) { return nlohmann::json::parse(ReadFile(path)); }

// `NAME.cases.json`: text, and what llama.cpp makes of it.
void CheckCases(const std::string& dir, const std::string& name) {
  const Loaded loaded = Load(GgufFile::Open(dir + name + ".vocab.gguf"));
  const Tokenizer& tokenizer = *loaded.tokenizer;
  for (const nlohmann::json& expected : ReadJson(dir + name + ".cases.json")) {
    const auto hex = expected["hex"].get<std::string>();
    const std::string text = absl::HexStringToBytes(hex);
    SCOPED_TRACE(absl::StrCat(name, " ", hex, " '", Printable(text), "'"));
    const Ids plain = tokenizer.Encode(text, {.add_special = false});
    const Ids parsed = tokenizer.Encode(text, {.add_special = false, .parse_special = true});
    if (expected.contains("llama_cpp_aborts")) {
      EXPECT_FALSE(plain.empty());
      continue;
    }
    EXPECT_EQ(plain, expected["plain"].get<Ids>());
    EXPECT_EQ(parsed, expected["parse_special"].get<Ids>());
    EXPECT_EQ(tokenizer.Encode(text, {.parse_special = true}),
              expected["add_and_parse_special"].get<Ids>());
    const std::string back =
        tokenizer.Detokenize(expected["parse_special"].get<Ids>(), {.special = true});
    EXPECT_EQ(absl::BytesToHexString(back), expected["detokenized_hex"].get<std::string>());
  }
}

class OwnVocabulary : public testing::TestWithParam<const char*> {};
TEST_P(OwnVocabulary, EncodesAndDecodesLikeLlamaCpp) { CheckCases(OwnDir(), GetParam()); }
INSTANTIATE_TEST_SUITE_P(, OwnVocabulary, testing::Values("tiny-bpe", "tiny-spm"));

class SharedVocabulary : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (ConformanceDir().empty()) GTEST_SKIP() << "the conformance pack is not here";
  }
};

TEST_P(SharedVocabulary, EncodesAndDecodesLikeLlamaCpp) { CheckCases(SharedDir(), GetParam()); }

class PublishedVocabulary : public SharedVocabulary {};

// `NAME.inp` and `NAME.out`: texts, and the ids of each on a line.
TEST_P(PublishedVocabulary, AgreesWithItsVectors) {
  const std::string stem = SharedDir() + GetParam();
  const Loaded loaded = Load(GgufFile::Open(stem + ".vocab.gguf"));
  const std::vector<std::string> texts =
      absl::StrSplit(ReadFile(stem + ".inp"), "\n__ggml_vocab_test__\n");
  std::istringstream lines(ReadFile(stem + ".out"));
  int checked = 0;
  for (std::string line; std::getline(lines, line); ++checked) {
    const std::string& text = texts.at(static_cast<size_t>(checked));
    SCOPED_TRACE(text);
    std::istringstream words(line);
    const Ids expected{std::istream_iterator<TokenId>(words), {}};
    EXPECT_EQ(loaded.tokenizer->Encode(text, {.add_special = false}), expected);
  }
  EXPECT_GE(checked, 46);
}

TEST_P(SharedVocabulary, HasTheRolesOfTheManifest) {
  const nlohmann::json manifest = ReadJson(SharedDir() + "manifest.json");
  for (const nlohmann::json& entry : manifest["vocabularies"]) {
    if (entry["name"] != GetParam()) continue;
    const Loaded loaded =
        Load(GgufFile::Open(absl::StrCat(SharedDir(), GetParam(), ".vocab.gguf")));
    EXPECT_EQ(loaded.tokenizer->size(), entry["n_vocab"]);
    EXPECT_EQ(loaded.tokenizer->bos(), entry["bos"]);
    EXPECT_EQ(loaded.tokenizer->eos(), entry["eos"]);
    EXPECT_EQ(loaded.tokenizer->adds_bos(), entry["add_bos_default"]);
    EXPECT_TRUE(loaded.tokenizer->IsEndOfGeneration(loaded.tokenizer->eos()));
    return;
  }
  FAIL() << "not in the manifest";
}

INSTANTIATE_TEST_SUITE_P(, SharedVocabulary,
                         testing::Values("llama-spm", "gpt-2", "phi-3", "starcoder",
                                         "deepseek-coder", "falcon", "llama-bpe", "qwen2",
                                         "tiny-bpe", "tiny-spm"));
INSTANTIATE_TEST_SUITE_P(, PublishedVocabulary,
                         testing::Values("llama-spm", "gpt-2", "phi-3", "starcoder",
                                         "deepseek-coder", "falcon", "llama-bpe", "qwen2"));

TEST(Tokenizer, ShippedModelStopsOnBothEnds) {
  const Loaded loaded = Load(GgufFile::FromMemory(EmbeddedModel(), "embedded model"));
  const Tokenizer& tokenizer = *loaded.tokenizer;
  for (const char* end : {"<|endoftext|>", "<|im_end|>"}) {
    const Ids ids = tokenizer.Encode(end, {.parse_special = true});
    ASSERT_EQ(ids.size(), 1u) << end;
    EXPECT_TRUE(tokenizer.IsEndOfGeneration(ids[0])) << end;
  }
  EXPECT_FALSE(tokenizer.IsEndOfGeneration(tokenizer.Find("<|im_start|>")));
  EXPECT_FALSE(tokenizer.IsEndOfGeneration(kNoToken));
}

TEST(Tokenizer, PrintsControlTokensOnlyWhenAsked) {
  const Loaded loaded = LoadOwn("tiny-bpe");
  const Tokenizer& tokenizer = *loaded.tokenizer;
  const TokenId control = tokenizer.Find("<|im_start|>");
  const TokenId user_defined = tokenizer.Find("<tool_call>");
  EXPECT_EQ(tokenizer.Piece(control, /*special=*/true), "<|im_start|>");
  EXPECT_EQ(tokenizer.Piece(control, /*special=*/false), "");
  EXPECT_EQ(tokenizer.Piece(user_defined, /*special=*/false), "<tool_call>");
  EXPECT_EQ(tokenizer.Decode({control, user_defined}), "<tool_call>");
}

TEST(Tokenizer, TakesIdsOutOfRange) {
  for (const char* name : {"tiny-bpe", "tiny-spm"}) {
    const Loaded loaded = LoadOwn(name);
    const Tokenizer& tokenizer = *loaded.tokenizer;
    for (const TokenId id :
         {-1, 512, std::numeric_limits<TokenId>::max(), std::numeric_limits<TokenId>::min()}) {
      EXPECT_EQ(tokenizer.Piece(id, /*special=*/true), "");
      EXPECT_EQ(tokenizer.Text(id), "");
      EXPECT_EQ(tokenizer.Type(id), TokenType::kUndefined);
      EXPECT_FALSE(tokenizer.IsEndOfGeneration(id));
    }
    EXPECT_EQ(tokenizer.Find("no such token"), kNoToken);
  }
}

TEST(Tokenizer, EmptyTextHasOnlyTheAddedTokens) {
  EXPECT_THAT(LoadOwn("tiny-bpe").tokenizer->Encode(""), IsEmpty());
  EXPECT_THAT(LoadOwn("tiny-spm").tokenizer->Encode(""), ElementsAre(1));
}

TEST(Tokenizer, DetokenizeTidiesSpacesWhereThePreTokenizerAsksForIt) {
  const Loaded gpt2 = LoadOwn("tiny-bpe");
  const Ids ids = gpt2.tokenizer->Encode("well , it 's !");
  EXPECT_EQ(gpt2.tokenizer->Decode(ids), "well , it 's !");
  EXPECT_EQ(gpt2.tokenizer->Detokenize(ids), "well, it's!");
  const Loaded qwen2 = Load(GgufFile::FromMemory(EmbeddedModel(), "embedded model"));
  EXPECT_EQ(qwen2.tokenizer->Detokenize(qwen2.tokenizer->Encode("well , it 's !")),
            "well , it 's !");
}

std::string RandomBytes(std::mt19937& random) {
  // A few bytes of each kind, so that characters, runs and special tokens come about by chance.
  constexpr absl::string_view kBytes =
      "a e'th <|_im>\n\t0\xC3\xA9\xE2\x96\x81\xF0\x9F\x98\x80\xFF\xED\xC0";
  std::string text(random() % 40, ' ');
  for (char& byte : text) byte = kBytes[random() % kBytes.size()];
  return text;
}

TEST(Tokenizer, ByteLevelDecodingUndoesEncoding) {
  const Loaded loaded = LoadOwn("tiny-bpe");
  std::mt19937 random(1);
  for (int i = 0; i < 5000; ++i) {
    const std::string text = RandomBytes(random);
    SCOPED_TRACE(absl::BytesToHexString(text));
    const Ids ids = loaded.tokenizer->Encode(text);
    // As in llama.cpp, what is not UTF-8 is U+FFFD.
    ASSERT_EQ(loaded.tokenizer->Decode(ids), NormalizeUtf8(text));
    ASSERT_EQ(loaded.tokenizer->Decode(loaded.tokenizer->Encode(text, {.parse_special = true}),
                                       {.special = true}),
              NormalizeUtf8(text));
  }
}

TEST(Tokenizer, SentencePieceDecodingUndoesEncoding) {
  const Loaded loaded = LoadOwn("tiny-spm");
  std::mt19937 random(2);
  for (int i = 0; i < 5000; ++i) {
    const std::string text = RandomBytes(random);
    SCOPED_TRACE(absl::BytesToHexString(text));
    // A written-out U+2581 is a space from then on, and a space that an unfinished character
    // swallows may stay a U+2581.
    const std::string back = loaded.tokenizer->Decode(loaded.tokenizer->Encode(text));
    ASSERT_EQ(absl::StrReplaceAll(back, {{"\u2581", " "}}),
              absl::StrReplaceAll(text, {{"\u2581", " "}}));
  }
}

TEST(Tokenizer, SentencePieceSpaceInFront) {
  const Loaded loaded = LoadOwn("tiny-spm");
  const Tokenizer& tokenizer = *loaded.tokenizer;
  ASSERT_TRUE(tokenizer.adds_space());
  const Ids with_bos = tokenizer.Encode("the");
  const Ids alone = tokenizer.Encode("the", {.add_special = false});
  ASSERT_EQ(with_bos[0], tokenizer.bos());
  EXPECT_EQ(tokenizer.Decode(alone), "the");
  EXPECT_EQ(tokenizer.Decode(with_bos), "the");
  EXPECT_EQ(tokenizer.Decode(with_bos, {.special = true}), "<s> the");
  EXPECT_EQ(tokenizer.Decode(alone, {.continues = true}), " the");
  EXPECT_EQ(tokenizer.Detokenize(alone), "the");
  EXPECT_EQ(tokenizer.Detokenize(with_bos), " the");
  // Only one space is the tokenizer's.
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode("  the")), "  the");
}

// Each byte is a token of its own in the byte-level vocabulary, if it is encoded alone; those that
// are no UTF-8 have to be found by their text.
Ids ByteIds(const Tokenizer& tokenizer, absl::string_view bytes) {
  std::array<TokenId, 256> ids = {};
  for (TokenId id = 0; id < tokenizer.size(); ++id) {
    const std::string piece = tokenizer.Piece(id, /*special=*/false);
    if (piece.size() == 1) ids[static_cast<uint8_t>(piece[0])] = id;
  }
  Ids result;
  for (const char byte : bytes) result.push_back(ids[static_cast<uint8_t>(byte)]);
  return result;
}

std::vector<std::string> PushAll(const Tokenizer& tokenizer, absl::Span<const TokenId> ids) {
  StreamingDecoder decoder(tokenizer);
  std::vector<std::string> texts;
  for (const TokenId id : ids) texts.push_back(decoder.Push(id));
  texts.push_back(decoder.Finish());
  return texts;
}

TEST(StreamingDecoder, HoldsBackUnfinishedCharacters) {
  const Loaded loaded = LoadOwn("tiny-bpe");
  const Ids ids = ByteIds(*loaded.tokenizer, "a\u00E9\u20AC\U0001F600b");
  EXPECT_THAT(PushAll(*loaded.tokenizer, ids),
              ElementsAre("a", "", "\u00E9", "", "", "\u20AC", "", "", "", "\U0001F600", "b", ""));
}

TEST(StreamingDecoder, PassesBytesOnThatCannotBecomeACharacter) {
  const Loaded loaded = LoadOwn("tiny-bpe");
  const Tokenizer& tokenizer = *loaded.tokenizer;
  const auto push = [&](absl::string_view bytes) {
    return PushAll(tokenizer, ByteIds(tokenizer, bytes));
  };
  EXPECT_THAT(push("\xFF\x80\xC1\xF5"), ElementsAre("\xFF", "\x80", "\xC1", "\xF5", ""));
  EXPECT_THAT(push("\xC3"
                   "a"),
              ElementsAre("",
                          "\xC3"
                          "a",
                          ""));
  EXPECT_THAT(push("\xE2\x82"
                   "a"),
              ElementsAre("", "",
                          "\xE2\x82"
                          "a",
                          ""));
  EXPECT_THAT(push("\xF0\x9F\x98\xC3\xA9"), ElementsAre("", "", "", "\xF0\x9F\x98", "\u00E9", ""));
  // Overlong forms, surrogates and anything above U+10FFFF: the second byte tells.
  EXPECT_THAT(push("\xE0\x9F"), ElementsAre("", "\xE0\x9F", ""));
  EXPECT_THAT(push("\xED\xA0"), ElementsAre("", "\xED\xA0", ""));
  EXPECT_THAT(push("\xF0\x8F"), ElementsAre("", "\xF0\x8F", ""));
  EXPECT_THAT(push("\xF4\x90"), ElementsAre("", "\xF4\x90", ""));
}

TEST(StreamingDecoder, FinishGivesWhatIsLeft) {
  const Loaded loaded = LoadOwn("tiny-bpe");
  StreamingDecoder decoder(*loaded.tokenizer);
  for (const TokenId id : ByteIds(*loaded.tokenizer, "\xF0\x9F\x98")) {
    EXPECT_EQ(decoder.Push(id), "");
  }
  EXPECT_EQ(decoder.Finish(), "\xF0\x9F\x98");
  EXPECT_EQ(decoder.Finish(), "");
}

TEST(StreamingDecoder, EverySplitGivesTheWhole) {
  for (const char* name : {"tiny-bpe", "tiny-spm"}) {
    const Loaded loaded = LoadOwn(name);
    const Tokenizer& tokenizer = *loaded.tokenizer;
    const std::string text = " the \u00E9\u20AC\xE2\x82 <|im_end|>\xFF\U0001F600  end";
    const Ids ids = tokenizer.Encode(text, {.parse_special = true});
    for (size_t split = 0; split <= ids.size(); ++split) {
      StreamingDecoder first(tokenizer, {.special = true});
      std::string joined;
      for (size_t i = 0; i < split; ++i) joined += first.Push(ids[i]);
      joined += first.Finish();
      StreamingDecoder second(tokenizer, {.special = true, .continues = split > 0});
      for (size_t i = split; i < ids.size(); ++i) joined += second.Push(ids[i]);
      joined += second.Finish();
      EXPECT_EQ(joined, tokenizer.Decode(ids, {.special = true})) << name << " split " << split;
    }
  }
}

TEST(StreamingDecoder, GivesOnlyWholeCharactersOfText) {
  const Loaded loaded = LoadOwn("tiny-bpe");
  const std::string text = "na\u00EFve \u4F60\u597D \U0001F469\u200D\U0001F467";
  const Ids ids = loaded.tokenizer->Encode(text);
  std::string joined;
  for (const std::string& piece : PushAll(*loaded.tokenizer, ids)) {
    EXPECT_EQ(NormalizeUtf8(piece), piece);
    joined += piece;
  }
  EXPECT_EQ(joined, text);
}

}  // namespace
}  // namespace sluice
