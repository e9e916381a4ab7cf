// Vocabularies that are damaged, odd or hostile, and what files leave to defaults.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "absl/strings/str_cat.h"
#include "models/text/tokenizer.h"
#include "tests/support/model_file.h"
#include "tests/support/paths.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Lt;
using Ids = std::vector<TokenId>;

constexpr char kModel[] = "tokenizer.ggml.model";
constexpr char kPre[] = "tokenizer.ggml.pre";
constexpr char kTokens[] = "tokenizer.ggml.tokens";
constexpr char kTypes[] = "tokenizer.ggml.token_type";
constexpr char kScores[] = "tokenizer.ggml.scores";
constexpr char kMerges[] = "tokenizer.ggml.merges";
constexpr char kBos[] = "tokenizer.ggml.bos_token_id";
constexpr char kEos[] = "tokenizer.ggml.eos_token_id";

constexpr int32_t kNormal = 1;
constexpr int32_t kControl = 3;
constexpr int32_t kUserDefined = 4;

ModelFile Bpe() {
  return ModelFile("llama")
      .Text(kModel, "gpt2")
      .Text(kPre, "gpt-2")
      .Texts(kTokens, {"a", "b", "c", "ab", "abc", "<|x|>"})
      .Ints(kTypes, {1, 1, 1, 1, 1, kControl})
      .Texts(kMerges, {"a b", "ab c"});
}

ModelFile Spm() {
  return ModelFile("llama")
      .Text(kModel, "llama")
      .Texts(kTokens, {"<unk>", "<s>", "</s>", "a", "b", "ab", "\u2581", "<0x21>"})
      .Ints(kTypes, {2, 3, 3, 1, 1, 1, 1, 6})
      .Floats(kScores, {0, 0, 0, -2, -3, -1, -4, 0});
}

struct Loaded {
  std::unique_ptr<GgufFile> file;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<std::string> warnings;

  Ids Encode(absl::string_view text, TokenizeOptions options = {.add_special = false}) const {
    return tokenizer->Encode(text, options);
  }
};

Loaded Load(const ModelFile& source) {
  Loaded loaded;
  loaded.file = source.Open();
  auto tokenizer = Tokenizer::Load(*loaded.file, &loaded.warnings);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  loaded.tokenizer = *std::move(tokenizer);
  return loaded;
}

// The warnings without the file's path.
std::vector<std::string> Warnings(const ModelFile& source) {
  std::vector<std::string> warnings = Load(source).warnings;
  for (std::string& warning : warnings) warning.erase(0, ModelFile::Path().size() + 2);
  return warnings;
}

// The message without the file's path.
std::string Error(const ModelFile& source,
                  absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
  std::vector<std::string> warnings;
  const std::unique_ptr<GgufFile> file = source.Open();
  const absl::Status status = Tokenizer::Load(*file, &warnings).status();
  EXPECT_EQ(status.code(), code) << status;
  const std::string message(status.message());
  const std::string prefix = ModelFile::Path() + ": ";
  EXPECT_EQ(message.substr(0, prefix.size()), prefix);
  return message.substr(std::min(message.size(), prefix.size()));
}

TEST(TokenizerLoad, ReadsSmallVocabularies) {
  const Loaded bpe = Load(Bpe());
  EXPECT_THAT(bpe.warnings, IsEmpty());
  EXPECT_THAT(bpe.Encode("abcab"), ElementsAre(4, 3));
  const Loaded spm = Load(Spm());
  EXPECT_THAT(spm.warnings, IsEmpty());
  EXPECT_THAT(spm.Encode("ab!"), ElementsAre(6, 5, 7));
}

TEST(TokenizerLoad, NoVocabulary) {
  EXPECT_EQ(Error(ModelFile("llama"), absl::StatusCode::kNotFound),
            "key 'tokenizer.ggml.model': missing or 'none': the file has no vocabulary");
  EXPECT_THAT(Error(Bpe().Text(kModel, "none"), absl::StatusCode::kNotFound), HasSubstr(kModel));
  EXPECT_EQ(Error(Bpe().Text(kModel, "bert\n"), absl::StatusCode::kUnimplemented),
            "key 'tokenizer.ggml.model': unknown kind of vocabulary 'bert\\x0A', expected gpt2, "
            "llama or bert");
}

TEST(TokenizerLoad, WrongTypesNameTheKey) {
  for (const char* key :
       {kModel, kPre, kTokens, kTypes, kScores, kMerges, "tokenizer.ggml.add_bos_token",
        "tokenizer.ggml.add_eos_token", "general.name"}) {
    EXPECT_THAT(Error(Bpe().Int(key, 1)),
                HasSubstr(absl::StrCat("key '", key, "': wrong value type")));
  }
  for (const char* key : {kBos, kEos, "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id",
                          "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.fim_pad_token_id",
                          "tokenizer.ggml.prefix_token_id"}) {
    EXPECT_THAT(Error(Bpe().Text(key, "1")),
                HasSubstr(absl::StrCat("key '", key, "': wrong value type")));
  }
  EXPECT_THAT(Error(Spm().Int("tokenizer.ggml.add_space_prefix", 1)),
              HasSubstr("key 'tokenizer.ggml.add_space_prefix': wrong value type"));
}

TEST(TokenizerLoad, MissingAndShortLists) {
  EXPECT_EQ(Error(Bpe().Remove(kTokens)), "key 'tokenizer.ggml.tokens': missing");
  EXPECT_EQ(Error(Bpe().Texts(kTokens, {})),
            "key 'tokenizer.ggml.tokens': expected 1 to 2147483647 tokens, got 0");
  EXPECT_EQ(Error(Bpe().Remove(kMerges)), "key 'tokenizer.ggml.merges': missing");
  EXPECT_EQ(Error(Bpe().Ints(kTypes, {1, 1})),
            "key 'tokenizer.ggml.token_type': expected a type for each of 6 tokens, got 2");
  EXPECT_EQ(Error(Spm().Floats(kScores, {1, 1, 1})),
            "key 'tokenizer.ggml.scores': expected a score for each of 8 tokens, got 3");
}

TEST(TokenizerLoad, ScoresAreNumbers) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(Error(Spm().Floats(kScores, {0, 0, 0, 0, kNan, 0, 0, 0})),
            "key 'tokenizer.ggml.scores': element 4 is NaN");
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const Loaded loaded =
      Load(Spm().Floats(kScores, {0, 0, 0, -kInfinity, kInfinity, -kInfinity, 0, 0}));
  EXPECT_THAT(loaded.Encode("ab"), ElementsAre(6, 5));
}

TEST(TokenizerLoad, TypesAndScoresAreOptional) {
  const Loaded bpe = Load(Bpe().Remove(kTypes));
  EXPECT_EQ(bpe.tokenizer->Type(5), TokenType::kNormal);
  EXPECT_THAT(bpe.Encode("abc"), ElementsAre(4));
  EXPECT_THAT(Load(Spm().Remove(kScores)).Encode("ab"), ElementsAre(6, 5));
}

TEST(TokenizerLoad, UnusedAndUnknownTypesAreInvisible) {
  const Loaded loaded = Load(Bpe().Ints(kTypes, {0, 5, 99, -7, 1, 3}));
  for (const TokenId id : {0, 1, 2, 3}) EXPECT_EQ(loaded.tokenizer->Piece(id, true), "");
  EXPECT_EQ(loaded.tokenizer->Piece(4, true), "abc");
}

TEST(TokenizerLoad, UnknownPreTokenizerFallsBackWithAWarning) {
  const std::string cut =
      ": text is cut by the rules of 'default', so that token ids may differ from training";
  EXPECT_THAT(Warnings(Bpe().Remove(kPre)), ElementsAre("key 'tokenizer.ggml.pre': missing" + cut));
  EXPECT_THAT(Warnings(Bpe().Text(kPre, "nonesuch")),
              ElementsAre("key 'tokenizer.ggml.pre': unknown pre-tokenizer 'nonesuch'" + cut));
  EXPECT_THAT(Warnings(Bpe().Text(kPre, "llama-bpf")),
              ElementsAre("key 'tokenizer.ggml.pre': unknown pre-tokenizer 'llama-bpf'" + cut +
                          "; if 'llama-bpe' was meant, `sluice gguf --set "
                          "tokenizer.ggml.pre=llama-bpe` writes a copy that says so"));
}

TEST(TokenizerLoad, NamesTheRulesThatStandInForMissingOnes) {
  EXPECT_THAT(Warnings(Bpe().Text(kPre, "viking")),
              ElementsAre("key 'tokenizer.ggml.pre': the rules of 'viking' are not supported: text "
                          "is cut by those of the nearest, 'starcoder', so that token ids will "
                          "differ from training"));
}

TEST(TokenizerLoad, MergesOfUnknownTokensAreLeftOut) {
  const ModelFile source =
      Bpe().Texts(kMerges, {"zz qq", "a b", "b c", "ab", "", " ", "ab c", "a b"});
  EXPECT_THAT(Warnings(source),
              ElementsAre("key 'tokenizer.ggml.merges': 5 of 8 ignored: they are not two tokens "
                          "that make a third; the first is 'zz qq'"));
  EXPECT_THAT(Load(source).Encode("abc"), ElementsAre(4));
}

TEST(TokenizerLoad, MergesApplyInTheirOrder) {
  const ModelFile source = Bpe().Texts(kTokens, {"a", "b", "c", "ab", "bc", "<|x|>"});
  EXPECT_THAT(Load(ModelFile(source).Texts(kMerges, {"a b", "b c"})).Encode("abc"),
              ElementsAre(3, 2));
  EXPECT_THAT(Load(ModelFile(source).Texts(kMerges, {"b c", "a b"})).Encode("abc"),
              ElementsAre(0, 4));
}

TEST(TokenizerLoad, BytesWithoutATokenAreDropped) {
  EXPECT_THAT(Load(Bpe()).Encode("a?b"), ElementsAre(0, 1));
  EXPECT_THAT(Load(Spm()).Encode("a?b"), ElementsAre(6, 3, 0, 4));
}

TEST(TokenizerLoad, WholeWordsNeedNoMerges) {
  const ModelFile source = Bpe().Texts(kMerges, {});
  EXPECT_THAT(Load(source).Encode("abc"), ElementsAre(0, 1, 2));
  EXPECT_THAT(Load(ModelFile(source).Text(kPre, "llama-bpe").Int(kBos, 5)).Encode("abc"),
              ElementsAre(4));
}

TEST(TokenizerLoad, RolesOutOfRangeAreIgnored) {
  EXPECT_THAT(Warnings(Bpe().Int(kBos, 6)),
              ElementsAre("key 'tokenizer.ggml.bos_token_id': ignored: 6 is not one of 6 tokens"));
  const Loaded loaded = Load(Bpe().Int(kBos, 5000).Int(kEos, 0xFFFFFFFF));
  EXPECT_EQ(loaded.warnings.size(), 2u);
  EXPECT_EQ(loaded.tokenizer->bos(), kNoToken);
  EXPECT_EQ(loaded.tokenizer->eos(), kNoToken);
}

TEST(TokenizerLoad, AddsOnlyTokensThatThereAre) {
  const ModelFile source = Bpe().Bool("tokenizer.ggml.add_bos_token", true);
  EXPECT_THAT(Warnings(source), ElementsAre("key 'tokenizer.ggml.add_bos_token': ignored: the "
                                            "vocabulary has no such token"));
  EXPECT_THAT(Load(source).tokenizer->Encode("a"), ElementsAre(0));
  EXPECT_THAT(Load(ModelFile(source).Int(kBos, 5)).tokenizer->Encode("a"), ElementsAre(5, 0));
  const Loaded eos = Load(Bpe().Int(kEos, 5).Bool("tokenizer.ggml.add_eos_token", true));
  EXPECT_THAT(eos.tokenizer->Encode("a"), ElementsAre(0, 5));
  EXPECT_THAT(eos.Encode("a"), ElementsAre(0));
}

TEST(TokenizerLoad, DefaultsOfSentencePiece) {
  const Loaded loaded = Load(Spm());
  EXPECT_EQ(loaded.tokenizer->bos(), 1);
  EXPECT_EQ(loaded.tokenizer->eos(), 2);
  EXPECT_TRUE(loaded.tokenizer->adds_bos());
  EXPECT_FALSE(loaded.tokenizer->adds_end());
  EXPECT_THAT(loaded.tokenizer->Encode("a"), ElementsAre(1, 6, 3));
  const Loaded plain = Load(Spm()
                                .Bool("tokenizer.ggml.add_space_prefix", false)
                                .Bool("tokenizer.ggml.add_bos_token", false));
  EXPECT_THAT(plain.tokenizer->Encode("a"), ElementsAre(3));
  EXPECT_EQ(plain.tokenizer->Decode({6, 3}), " a");
}

TEST(TokenizerLoad, DefaultsOfByteLevel) {
  const Loaded loaded = Load(Bpe());
  EXPECT_EQ(loaded.tokenizer->bos(), kNoToken);
  EXPECT_FALSE(loaded.tokenizer->adds_bos());
  const Loaded llama3 = Load(Bpe().Text(kPre, "llama-bpe").Int(kBos, 5));
  EXPECT_THAT(llama3.tokenizer->Encode("a"), ElementsAre(5, 0));
}

TEST(TokenizerLoad, DuplicateAndEmptyTokens) {
  const ModelFile source = Bpe().Texts(kTokens, {"a", "b", "", "ab", "a", "a"});
  EXPECT_THAT(
      Warnings(ModelFile(source).Texts(kMerges, {})),
      ElementsAre("key 'tokenizer.ggml.tokens': 1 tokens are empty, so no text is encoded to them; "
                  "the first is 2 ''",
                  "key 'tokenizer.ggml.tokens': 2 tokens repeat an earlier token, so no text is "
                  "encoded to them; the first is 4 'a'"));
  const Loaded loaded = Load(source);
  EXPECT_THAT(loaded.Encode("a", {.add_special = false, .parse_special = true}), ElementsAre(0));
  EXPECT_EQ(loaded.tokenizer->Decode({0, 2, 4, 5}, {.special = true}), "aaa");
}

TEST(TokenizerLoad, ByteTokensThatAreNone) {
  const Loaded loaded = Load(
      Spm()
          .Texts(kTokens, {"<0x-1>", "<0x>", "<0x100>", "<0xZZ>", "", "<0x4a>", "<0X41>", "\xFF"})
          .Ints(kTypes, {6, 6, 6, 6, 6, 6, 6, 6}));
  EXPECT_EQ(loaded.tokenizer->Decode({1, 2, 3, 4, 6, 7}), "<0x><0x100><0xZZ><0X41>\xFF");
  EXPECT_EQ(loaded.tokenizer->Piece(0, false), "<0x-1>");
  EXPECT_EQ(loaded.tokenizer->Piece(5, false), "J");
  EXPECT_THAT(loaded.Encode("\xFF"), ElementsAre(0, 0, 0, 7));
}

TEST(TokenizerLoad, InvalidUtf8InTokens) {
  const ModelFile source =
      Bpe().Texts(kTokens, {"\xFF\xFE", "\xC3", "\xE2\x96", "a", "\u4F60", " "});
  const Loaded bpe = Load(ModelFile(source).Texts(kMerges, {"\xFF \xFE"}));
  EXPECT_EQ(bpe.tokenizer->Decode({0, 1, 2, 3, 4, 5}, {.special = true}),
            "\xFF\xFE\xC3\xE2\x96"
            "a\u4F60 ");
  EXPECT_THAT(bpe.Encode("\xFF\xFE"
                         "a"),
              ElementsAre(3));
  const Loaded spm =
      Load(Spm()
               .Texts(kTokens, {"\xFF\xFE", "\xC3", "<s>", "\xE2", "a", "b", "\xE2\x96", "\x96"})
               .Bool("tokenizer.ggml.add_space_prefix", false));
  EXPECT_THAT(spm.Encode("\xE2\x96"), ElementsAre(6));
  EXPECT_EQ(spm.tokenizer->Decode({6, 7}), "\xE2\x96\x96");
}

TEST(TokenizerLoad, HugeTokens) {
  const std::string huge(1 << 20, 'a');
  const Loaded bpe = Load(Bpe()
                              .Texts(kTokens, {"a", "b", "aa", huge, "x" + huge, "<" + huge})
                              .Ints(kTypes, {1, 1, 1, 1, kControl, kUserDefined})
                              .Texts(kMerges, {"a a", "aa " + huge}));
  // Special tokens of that size are not looked for.
  EXPECT_EQ(bpe.Encode(huge, {.add_special = false, .parse_special = true}).size(),
            huge.size() / 2);
  EXPECT_EQ(bpe.tokenizer->Decode({3}), huge);
  const Loaded spm =
      Load(Spm().Texts(kTokens, {"<unk>", "<s>", "</s>", "a", "b", "aa", "c", huge}));
  EXPECT_EQ(spm.Encode(huge).size(), huge.size() / 2 + 3);
}

TEST(TokenizerLoad, EndsOfGenerationByKey) {
  const Loaded loaded = Load(Bpe()
                                 .Int(kEos, 0)
                                 .Int("tokenizer.ggml.eot_token_id", 1)
                                 .Int("tokenizer.ggml.eom_token_id", 2));
  for (const TokenId id : {0, 1, 2}) EXPECT_TRUE(loaded.tokenizer->IsEndOfGeneration(id)) << id;
  for (const TokenId id : {3, 4, 5}) EXPECT_FALSE(loaded.tokenizer->IsEndOfGeneration(id)) << id;
}

TEST(TokenizerLoad, EndsOfGenerationByText) {
  const std::vector<std::string> ends = {
      "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>",
      "<|eom_id|>",    "<|im_end|>",      "<|end|>",
      "<end_of_turn>", "<EOT>",           "<｜end▁of▁sentence｜>",
      "<|fim_pad|>",   "<|repo_name|>",   "<|file_sep|>"};
  std::vector<std::string> tokens = ends;
  tokens.insert(tokens.end(), {"<|im_start|>", "</s>", "<|fim_prefix|>", "a"});
  const Loaded loaded = Load(Bpe().Texts(kTokens, tokens).Remove(kTypes).Texts(kMerges, {}));
  for (const std::string& token : tokens) {
    const bool is_end = std::find(ends.begin(), ends.end(), token) != ends.end();
    EXPECT_EQ(loaded.tokenizer->IsEndOfGeneration(loaded.tokenizer->Find(token)), is_end) << token;
  }
}

TEST(TokenizerLoad, KnownControlTokensAreControlTokensWhateverTheFileSays) {
  for (const int32_t type : {kNormal, kUserDefined, kControl}) {
    const Loaded loaded =
        Load(Bpe()
                 .Texts(kTokens, {"a", "<", "</s>", "<|im_end|>", "<|y|>", "<|fim_middle|>"})
                 .Ints(kTypes, {1, 1, type, type, type, type})
                 .Texts(kMerges, {}));
    for (const TokenId id : {2, 3, 5}) {
      const std::string text(loaded.tokenizer->Text(id));
      EXPECT_EQ(loaded.tokenizer->Type(id), TokenType::kControl);
      EXPECT_THAT(loaded.Encode(text), ElementsAre(1)) << text;  // only "<" has a token
      EXPECT_THAT(loaded.Encode(text, {.add_special = false, .parse_special = true}),
                  ElementsAre(id));
    }
    EXPECT_EQ(loaded.tokenizer->Type(4), static_cast<TokenType>(type));
  }
}

TEST(TokenizerLoad, FillInRolesByKeyLeaveTheTypeAlone) {
  const Loaded loaded = Load(Bpe()
                                 .Texts(kTokens, {"a", "b", "c", "ab", "abc", "<|fim_pad|>"})
                                 .Ints(kTypes, {1, 1, 1, 1, 1, kUserDefined})
                                 .Int("tokenizer.ggml.fim_pad_token_id", 4));
  EXPECT_TRUE(loaded.tokenizer->IsEndOfGeneration(4));
  EXPECT_FALSE(loaded.tokenizer->IsEndOfGeneration(5));
  EXPECT_EQ(loaded.tokenizer->Type(5), TokenType::kUserDefined);
}

TEST(TokenizerLoad, Phi3SpecialTokensSwallowTheSpaceAfterThem) {
  const ModelFile source = Bpe()
                               .Texts(kTokens, {"a", "\u0120", "<s>", "<|x|>", "\u010A", "b"})
                               .Ints(kTypes, {1, 1, kControl, kControl, 1, 1})
                               .Texts(kMerges, {});
  const auto encode = [](const ModelFile& file, absl::string_view text) {
    return Load(file).Encode(text, {.add_special = false, .parse_special = true});
  };
  EXPECT_THAT(encode(source, "<|x|> \n a<s> "), ElementsAre(3, 1, 4, 1, 0, 2, 1));
  for (const char* name : {"Phi3", "my phi-3 mini"}) {
    EXPECT_THAT(encode(ModelFile(source).Text("general.name", name), "<|x|> \n a<s> "),
                ElementsAre(3, 0, 2, 1));
  }
}

TEST(TokenizerLoad, HostileFiles) {
  if (ConformanceDir().empty()) GTEST_SKIP() << "the conformance pack is not here";
  int loaded = 0;
  for (const auto& entry : std::filesystem::directory_iterator(ConformanceDir() + "/hostile")) {
    if (entry.path().extension() != ".gguf") continue;
    const auto file = GgufFile::Open(entry.path());
    if (!file.ok()) continue;
    std::vector<std::string> warnings;
    const auto tokenizer = Tokenizer::Load(**file, &warnings);
    if (!tokenizer.ok()) {
      EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr("key 'tokenizer.ggml."));
      continue;
    }
    ++loaded;
    const Ids ids = (*tokenizer)->Encode("the <|endoftext|>", {.parse_special = true});
    EXPECT_THAT(ids, Each(AllOf(Ge(0), Lt((*tokenizer)->size())))) << entry.path();
  }
  EXPECT_GT(loaded, 10);
}

}  // namespace
}  // namespace sluice
