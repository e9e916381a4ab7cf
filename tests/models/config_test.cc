#include "models/architectures/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "models/architectures/key_reader.h"
#include "tests/support/model_file.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

ModelConfig Read(const ModelFile& file, std::vector<std::string>* warnings = nullptr) {
  std::vector<std::string> local;
  absl::StatusOr<ModelConfig> config =
      ReadConfig(*file.Open(), warnings != nullptr ? warnings : &local);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.value_or(ModelConfig());
}

// The whole message without the file's path and the ": " after it, which every message begins
// with.
std::string Error(const ModelFile& file) {
  std::vector<std::string> warnings;
  const absl::StatusOr<ModelConfig> config = ReadConfig(*file.Open(), &warnings);
  if (config.ok()) return "no error";
  const std::string message(config.status().message());
  const std::string prefix = absl::StrCat(ModelFile::Path(), ": ");
  EXPECT_EQ(message.substr(0, prefix.size()), prefix);
  return message.substr(std::min(message.size(), prefix.size()));
}

std::vector<std::string> Warnings(const ModelFile& file) {
  std::vector<std::string> warnings;
  Read(file, &warnings);
  return warnings;
}

ModelFile Llama() { return ModelFile("llama", 2); }

TEST(ReadConfig, ReadsRequiredKeysAndDefaults) {
  const ModelConfig config = Read(Llama().Remove(".attention.head_count_kv"));
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.context_length, 128);
  EXPECT_EQ(config.hidden, 32);
  EXPECT_EQ(config.vocabulary, 6);
  EXPECT_EQ(config.key_length, 8);
  EXPECT_EQ(config.value_length, 8);
  EXPECT_EQ(config.rms_eps, 1e-5);
  EXPECT_EQ(config.rope.dims, 8);
  EXPECT_EQ(config.rope.base, 10000);
  EXPECT_EQ(config.rope.scaling, RopeConfig::Scaling::kNone);
  EXPECT_EQ(config.rope.factor, 1);
  EXPECT_EQ(config.rope.attn_factor, 1);
  EXPECT_EQ(config.experts, 0);
  ASSERT_EQ(config.layers.size(), 2);
  EXPECT_EQ(config.layers[1].heads, 4);
  EXPECT_EQ(config.layers[1].kv_heads, 4);
  EXPECT_EQ(config.layers[1].feed_forward, 64);
  EXPECT_EQ(config.layers[1].expert_feed_forward, 0);
}

TEST(ReadConfig, ReadsOptionalKeys) {
  const ModelConfig config = Read(Llama()
                                      .Int(".attention.key_length", 12)
                                      .Int(".attention.value_length", 6)
                                      .Int(".rope.dimension_count", 10)
                                      .Float(".rope.freq_base", 5e5f));
  EXPECT_EQ(config.key_length, 12);
  EXPECT_EQ(config.value_length, 6);
  EXPECT_EQ(config.rope.dims, 10);
  EXPECT_EQ(config.rope.base, 5e5);
}

TEST(ReadConfig, ReadsPerLayerArrays) {
  const ModelConfig config = Read(Llama()
                                      .Ints(".attention.head_count", {4, 8})
                                      .Ints(".attention.head_count_kv", {1, 2})
                                      .Ints(".feed_forward_length", {64, 96}));
  EXPECT_EQ(config.layers[0].heads, 4);
  EXPECT_EQ(config.layers[1].heads, 8);
  EXPECT_EQ(config.layers[0].kv_heads, 1);
  EXPECT_EQ(config.layers[1].kv_heads, 2);
  EXPECT_EQ(config.layers[0].feed_forward, 64);
  EXPECT_EQ(config.layers[1].feed_forward, 96);
}

TEST(ReadConfig, RejectsBadPerLayerArrays) {
  EXPECT_EQ(Error(Llama().Ints(".attention.head_count_kv", {1, 2, 4})),
            "key 'llama.attention.head_count_kv': expected one value or one for each of the 2 "
            "layers, got 3");
  EXPECT_EQ(Error(Llama().Ints(".feed_forward_length", {64, -1})),
            "key 'llama.feed_forward_length': expected 1 to 16777216, got -1");
}

TEST(ReadConfig, NamesMissingKeys) {
  for (const absl::string_view key :
       {".block_count", ".context_length", ".embedding_length", ".feed_forward_length",
        ".attention.head_count", ".attention.layer_norm_rms_epsilon"}) {
    EXPECT_EQ(Error(Llama().Remove(key)), absl::StrCat("required key 'llama", key, "' is missing"));
  }
  for (const absl::string_view key : {"general.architecture", "tokenizer.ggml.tokens"}) {
    EXPECT_EQ(Error(Llama().Remove(key)), absl::StrCat("required key '", key, "' is missing"));
  }
}

TEST(ReadConfig, NamesKeysOfTheWrongType) {
  EXPECT_EQ(Error(Llama().Text(".block_count", "2")),
            "key 'llama.block_count': wrong value type: expected an integer, got string");
  EXPECT_EQ(Error(Llama().Bool(".embedding_length", true)),
            "key 'llama.embedding_length': wrong value type: expected an integer, got bool");
  EXPECT_EQ(Error(Llama().Texts(".attention.head_count", {"4", "4"})),
            "key 'llama.attention.head_count': wrong value type: expected an array of integers, "
            "got array of string");
  EXPECT_EQ(Error(Llama().Int(".rope.freq_base", 10000)),
            "key 'llama.rope.freq_base': wrong value type: expected a float, got u32");
  EXPECT_EQ(Error(Llama().Int(".rope.scaling.type", 1)),
            "key 'llama.rope.scaling.type': wrong value type: expected a string, got u32");
  EXPECT_EQ(Error(Llama().Int(".rope.scaling.factor", 2)),
            "key 'llama.rope.scaling.factor': wrong value type: expected a float, got u32");
  EXPECT_EQ(Error(Llama().Int("general.architecture", 1)),
            "key 'general.architecture': wrong value type: expected a string, got u32");
  EXPECT_EQ(Error(Llama().Ints("tokenizer.ggml.tokens", {1, 2})),
            "key 'tokenizer.ggml.tokens': wrong value type: expected an array of strings, got an "
            "array of i32");
  EXPECT_EQ(Error(Llama().Text("tokenizer.ggml.tokens", "a")),
            "key 'tokenizer.ggml.tokens': wrong value type: expected an array of strings, got "
            "string");
}

TEST(ReadConfig, ListsKnownArchitectures) {
  EXPECT_EQ(Error(ModelFile("gpt\x1b[2J")),
            "key 'general.architecture': unknown architecture 'gpt\\x1B[2J', known are bert, "
            "llama, qwen2, qwen3, qwen3moe");
}

TEST(ReadConfig, RejectsSizesOutOfRange) {
  struct Case {
    absl::string_view key;
    uint32_t value;
    absl::string_view range;
  };
  for (const Case& c :
       {Case{".block_count", 0, "1 to 1024"}, Case{".block_count", 1000000000, "1 to 1024"},
        Case{".context_length", 0, "1 to 1073741824"},
        Case{".context_length", 0xFFFFFFFF, "1 to 1073741824"},
        Case{".embedding_length", 0, "1 to 1048576"},
        Case{".embedding_length", 1u << 31, "1 to 1048576"},
        Case{".feed_forward_length", 0, "1 to 16777216"},
        Case{".attention.head_count", 0, "1 to 65536"},
        Case{".attention.head_count_kv", 0, "1 to 65536"},
        Case{".attention.key_length", 0, "1 to 65536"},
        Case{".attention.value_length", 1u << 30, "1 to 65536"},
        Case{".expert_count", 1000000, "0 to 4096"}}) {
    EXPECT_EQ(Error(Llama().Int(c.key, c.value)),
              absl::StrCat("key 'llama", c.key, "': expected ", c.range, ", got ", c.value));
  }
}

TEST(ReadConfig, RejectsFloatsThatAreNotPositiveAndFinite) {
  for (const absl::string_view key :
       {".attention.layer_norm_rms_epsilon", ".rope.freq_base", ".rope.scaling.attn_factor"}) {
    for (const auto& [value, text] : {std::pair(0.0f, "0"), std::pair(-1.0f, "-1"),
                                      std::pair(kNan, "nan"), std::pair(kInfinity, "inf")}) {
      EXPECT_EQ(Error(Llama().Float(key, value)),
                absl::StrCat("key 'llama", key, "': expected a finite number above 0, got ", text));
    }
  }
}

TEST(ReadConfig, RejectsHeadsThatDoNotDivide) {
  EXPECT_EQ(Error(Llama().Int(".attention.head_count_kv", 3)),
            "key 'llama.attention.head_count_kv': expected a divisor of the 4 heads of layer 0, "
            "got 3");
  EXPECT_EQ(Error(Llama().Ints(".attention.head_count_kv", {2, 8})),
            "key 'llama.attention.head_count_kv': expected a divisor of the 4 heads of layer 1, "
            "got 8");
  EXPECT_EQ(Error(Llama().Int(".attention.head_count", 6)),
            "key 'llama.attention.head_count': expected a divisor of embedding_length (32), as "
            "attention.key_length is absent; got 6");
  EXPECT_EQ(Error(Llama().Int(".attention.head_count", 6).Int(".attention.key_length", 8)),
            "key 'llama.attention.head_count': expected a divisor of embedding_length (32), as "
            "attention.value_length is absent; got 6");
  // More heads than dimensions: the default length would be 0.
  EXPECT_EQ(Error(Llama().Int(".attention.head_count", 64)),
            "key 'llama.attention.head_count': expected a divisor of embedding_length (32), as "
            "attention.key_length is absent; got 64");
}

TEST(ReadConfig, RejectsBadRopeDimensions) {
  for (const uint32_t dims : {3u, 7u, 10u, 64u}) {
    EXPECT_EQ(Error(Llama().Int(".rope.dimension_count", dims)),
              absl::StrCat("key 'llama.rope.dimension_count': expected an even number up to the "
                           "head's key length of 8, got ",
                           dims));
  }
  EXPECT_EQ(Error(Llama().Int(".rope.dimension_count", 0)),
            "key 'llama.rope.dimension_count': expected 1 to 65536, got 0");
  EXPECT_EQ(Error(Llama().Int(".attention.key_length", 7)),
            "key 'llama.rope.dimension_count': expected an even number up to the head's key "
            "length of 7, got 7");
}

TEST(ReadConfig, ReadsLinearScaling) {
  const ModelFile typed =
      Llama().Text(".rope.scaling.type", "linear").Float(".rope.scaling.factor", 4);
  const ModelFile untyped = Llama().Float(".rope.scaling.factor", 4);
  const ModelFile legacy = Llama().Float(".rope.scale_linear", 4);
  for (const ModelFile& file : {typed, untyped, legacy}) {
    const RopeConfig rope = Read(file).rope;
    EXPECT_EQ(rope.scaling, RopeConfig::Scaling::kLinear);
    EXPECT_EQ(rope.factor, 4);
    EXPECT_EQ(rope.original_context, 0);
  }
}

TEST(ReadConfig, ReadsYarn) {
  ModelFile file = Llama().Text(".rope.scaling.type", "yarn").Float(".rope.scaling.factor", 4);
  EXPECT_EQ(Read(file).rope.scaling, RopeConfig::Scaling::kYarn);
  EXPECT_EQ(Read(file).rope.original_context, 128);
  file.Int(".rope.scaling.original_context_length", 32).Float(".rope.scaling.attn_factor", 1.25);
  EXPECT_EQ(Read(file).rope.original_context, 32);
  EXPECT_EQ(Read(file).rope.attn_factor, 1.25);
  EXPECT_EQ(Read(file).rope.factor, 4);
  EXPECT_EQ(Error(file.Int(".rope.scaling.original_context_length", 0)),
            "key 'llama.rope.scaling.original_context_length': expected 1 to 1073741824, got 0");
}

TEST(ReadConfig, TakesFactorZeroOrTypeNoneForNoScaling) {
  const ModelFile zero =
      Llama().Text(".rope.scaling.type", "linear").Float(".rope.scaling.factor", 0);
  const ModelFile none =
      Llama().Text(".rope.scaling.type", "none").Float(".rope.scaling.factor", 4);
  for (const ModelFile& file : {zero, none}) {
    EXPECT_EQ(Read(file).rope.scaling, RopeConfig::Scaling::kNone);
    EXPECT_EQ(Read(file).rope.factor, 1);
  }
}

TEST(ReadConfig, RejectsBadScaling) {
  EXPECT_EQ(Error(Llama().Text(".rope.scaling.type", "longrope")),
            "key 'llama.rope.scaling.type': 'longrope' is not supported, only none, linear and "
            "yarn");
  EXPECT_EQ(Error(Llama().Text(".rope.scaling.type", "dynamic")),
            "key 'llama.rope.scaling.type': expected none, linear or yarn, got 'dynamic'");
  EXPECT_EQ(Error(Llama().Float(".rope.scaling.factor", -2)),
            "key 'llama.rope.scaling.factor': expected a finite number, 0 or above, got -2");
  EXPECT_EQ(Error(Llama().Float(".rope.scale_linear", kNan)),
            "key 'llama.rope.scale_linear': expected a finite number, 0 or above, got nan");
}

TEST(ReadConfig, ReadsExperts) {
  const ModelConfig config = Read(ModelFile::WithExperts("qwen3moe", 2));
  EXPECT_EQ(config.experts, 4);
  EXPECT_EQ(config.experts_used, 2);
  EXPECT_EQ(config.layers[1].expert_feed_forward, 32);
}

TEST(ReadConfig, DerivesExpertFeedForward) {
  constexpr absl::string_view kKey = ".expert_feed_forward_length";
  const ModelConfig qwen = Read(ModelFile::WithExperts("qwen3moe").Remove(kKey));
  EXPECT_EQ(qwen.layers[0].expert_feed_forward, 32);  // 64 / 2 used
  const ModelConfig mixtral = Read(ModelFile::WithExperts("llama").Remove(kKey));
  EXPECT_EQ(mixtral.layers[0].expert_feed_forward, 64);
  EXPECT_EQ(Error(ModelFile::WithExperts("qwen3moe").Remove(kKey).Int(".expert_used_count", 3)),
            "key 'qwen3moe.feed_forward_length': expected a multiple of expert_used_count (3), as "
            "expert_feed_forward_length is absent; got 64");
  EXPECT_EQ(Error(ModelFile::WithExperts("qwen3moe").Remove(kKey).Remove(".feed_forward_length")),
            "required key 'qwen3moe.feed_forward_length' is missing");
}

TEST(ReadConfig, NeedsNoDenseFeedForwardBesideExperts) {
  const ModelConfig config =
      Read(ModelFile::WithExperts("qwen3moe").Remove(".feed_forward_length"));
  EXPECT_EQ(config.layers[0].feed_forward, 0);
  EXPECT_EQ(config.layers[0].expert_feed_forward, 32);
}

TEST(ReadConfig, TakesOneExpertForDense) {
  const ModelConfig config = Read(Llama().Int(".expert_count", 1).Int(".expert_used_count", 1));
  EXPECT_EQ(config.experts, 0);
  EXPECT_EQ(config.experts_used, 0);
}

TEST(ReadConfig, RejectsBadExpertCounts) {
  const auto experts = [] { return ModelFile::WithExperts("llama"); };
  EXPECT_EQ(Error(experts().Int(".expert_used_count", 5)),
            "key 'llama.expert_used_count': expected 1 to 4, got 5");
  EXPECT_EQ(Error(experts().Int(".expert_used_count", 0)),
            "key 'llama.expert_used_count': expected 1 to 4, got 0");
  EXPECT_EQ(Error(experts().Remove(".expert_used_count")),
            "required key 'llama.expert_used_count' is missing");
  EXPECT_EQ(Error(Llama().Int(".expert_used_count", 2)),
            "key 'llama.expert_used_count': expected 0 to 0, got 2");
}

TEST(ReadConfig, RejectsAnEmptyVocabulary) {
  EXPECT_EQ(Error(Llama().Texts("tokenizer.ggml.tokens", {})),
            "key 'tokenizer.ggml.tokens': expected 1 to 2147483647 tokens, got 0");
}

TEST(ReadConfig, WarnsOfKeysThatItDoesNotUse) {
  EXPECT_THAT(Warnings(Llama()
                           .Int(".attention.sliding_window", 64)
                           .Float(".logit_scale", 0.5)
                           .Bool(".expert_weights_norm", false)
                           .Text(".attention.scale", "x")),
              ElementsAre(HasSubstr("key 'llama.attention.scale': its value is ignored"),
                          HasSubstr("key 'llama.attention.sliding_window': the value 64 is "
                                    "ignored"),
                          HasSubstr("key 'llama.logit_scale': the value 0.5 is ignored"),
                          HasSubstr("key 'llama.expert_weights_norm': the value 0 is ignored")));
}

TEST(ReadConfig, DoesNotWarnOfNeutralValues) {
  EXPECT_THAT(Warnings(Llama()
                           .Float(".attention.scale", 0.35355338f)  // 1 / sqrt(8)
                           .Int(".attention.sliding_window", 0)
                           .Float(".logit_scale", 1)
                           .Float(".expert_weights_scale", 0)
                           .Bool(".expert_weights_norm", true)
                           .Float(".rope.scaling.yarn_beta_fast", 32)
                           .Float(".rope.scaling.yarn_ext_factor", -1)),
              IsEmpty());
}

// Encoders ask whether they are causal, decoders are.
TEST(ReadConfig, WarnsOfKnownKeysOnlyWhereNobodyReadsThem) {
  EXPECT_THAT(Warnings(ModelFile::Bert().Bool(".attention.causal", false)), IsEmpty());
  EXPECT_THAT(Warnings(Llama().Bool(".attention.causal", false)),
              ElementsAre(HasSubstr("key 'llama.attention.causal': the value 0 is ignored")));
  EXPECT_THAT(Warnings(Llama().Bool(".attention.causal", true)), IsEmpty());
}

TEST(KeyReader, RemembersWhatWasRead) {
  const auto file =
      Llama().Bool(".flag", true).Float(".scale", 2).Text(".name", "n").Int(".found", 1).Open();
  const KeyReader keys(*file, "llama.");
  constexpr absl::string_view kKeys[] = {"block_count",         "scale", "name", "flag",
                                         "feed_forward_length", "found"};
  for (const absl::string_view key : kKeys) EXPECT_NE(keys.FindUnread(key), nullptr) << key;
  EXPECT_EQ(keys.FindUnread("absent"), nullptr);
  EXPECT_TRUE(keys.Int("block_count", {1, 2}).ok());
  EXPECT_TRUE(keys.Positive("scale").ok());
  EXPECT_TRUE(keys.String("name", "").ok());
  EXPECT_TRUE(keys.Bool("flag").ok());
  EXPECT_TRUE(keys.PerLayer("feed_forward_length", 2, {1, 64}).ok());
  EXPECT_NE(keys.FindUnread("found"), nullptr);
  EXPECT_NE(keys.Find("found"), nullptr);
  for (const absl::string_view key : kKeys) EXPECT_EQ(keys.FindUnread(key), nullptr) << key;
  EXPECT_NE(keys.FindUnread("context_length"), nullptr);
  // Another reader has read nothing.
  EXPECT_NE(KeyReader(*file, "llama.").FindUnread("flag"), nullptr);
}

}  // namespace
}  // namespace sluice
