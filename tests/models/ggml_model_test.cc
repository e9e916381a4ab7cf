// Models in files from before GGUF give what they give as GGUF files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/formats/quantize.h"
#include "models/files/gguf.h"
#include "models/files/gguf_writer.h"
#include "models/model.h"
#include "runtime/session.h"
#include "tests/support/ggml_bytes.h"
#include "tests/support/greedy.h"
#include "tests/support/paths.h"
#include "tools/engine/session.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kHidden = 256;  // a block of the formats with the largest ones
constexpr int64_t kVocabulary = 264;
const std::vector<int32_t> kPrompt = {1, 40, 263, 7, 100, 3, 3, 250};

// A folder of its own for each test.
class GgmlModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(testing::TempDir(), "sluice_ggml_model.", getpid());
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string WriteGguf(DType dtype) const;
  std::string WriteGgml(const GgmlBytes& content) const {
    const std::string bytes = content.Build();
    std::string path = folder_ + "/m.bin";
    std::ofstream(path, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path;
  }
  std::string LoadError(const GgmlBytes& content, const FileOptions& options = {}) const {
    return std::string(Model::Load(WriteGgml(content), options).status().message());
  }

  std::string folder_;
};

void SetVocabulary(GgufWriter* writer) {
  std::vector<std::string> texts = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {2, 3, 3};
  std::vector<float> scores(kVocabulary, 0.0F);
  for (int byte = 0; byte < 256; ++byte) {
    texts.push_back(absl::StrFormat("<0x%02X>", byte));
    types.push_back(6);
  }
  for (const char* text : {"\xE2\x96\x81", "a", "b", "ab",
                           "\xE2\x96\x81"
                           "ab"}) {
    scores[texts.size()] = -static_cast<float>(texts.size());
    texts.emplace_back(text);
    types.push_back(1);
  }
  writer->SetString("tokenizer.ggml.model", "llama");
  writer->SetStrings("tokenizer.ggml.tokens", texts);
  writer->SetI32s("tokenizer.ggml.token_type", types);
  writer->SetF32s("tokenizer.ggml.scores", scores);
}

// A model of one layer with random weights, its matrices in `dtype`.
std::string GgmlModelTest::WriteGguf(DType dtype) const {
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetU32("llama.block_count", 1);
  writer.SetU32("llama.context_length", 2048);
  writer.SetU32("llama.embedding_length", kHidden);
  writer.SetU32("llama.feed_forward_length", kHidden);
  writer.SetU32("llama.attention.head_count", 4);
  writer.SetU32("llama.attention.head_count_kv", 2);
  writer.SetU32("llama.rope.dimension_count", kHidden / 4);
  writer.SetF32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  SetVocabulary(&writer);
  uint64_t seed = 0;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    const DType type = shape.size() == 1 ? DType::kF32 : dtype;
    writer.AddTensor(name, type, shape, [type, seed = ++seed](absl::Span<std::byte> data) {
      return FillRandomBlocks(type, seed, 0.1F, data);
    });
  };
  add("token_embd.weight", {kVocabulary, kHidden});
  add("blk.0.attn_norm.weight", {kHidden});
  add("blk.0.attn_q.weight", {kHidden, kHidden});
  add("blk.0.attn_k.weight", {kHidden / 2, kHidden});
  add("blk.0.attn_v.weight", {kHidden / 2, kHidden});
  add("blk.0.attn_output.weight", {kHidden, kHidden});
  add("blk.0.ffn_norm.weight", {kHidden});
  add("blk.0.ffn_gate.weight", {kHidden, kHidden});
  add("blk.0.ffn_down.weight", {kHidden, kHidden});
  add("blk.0.ffn_up.weight", {kHidden, kHidden});
  add("output_norm.weight", {kHidden});
  add("output.weight", {kVocabulary, kHidden});
  std::string path = folder_ + "/m.gguf";
  EXPECT_EQ(writer.Write(path), absl::OkStatus());
  return path;
}

GgmlBytes GgmlOf(const std::string& gguf_path) {
  const auto file = GgufFile::Open(gguf_path);
  EXPECT_TRUE(file.ok()) << file.status();
  return file.ok() ? ToGgml(**file) : GgmlBytes();
}

// Of all positions of the prompt, as `sluice run` computes them on the CPU.
std::vector<float> LogitsOf(const Model& model, Backend& backend, int64_t prepack_bytes) {
  const auto tokens = static_cast<int64_t>(kPrompt.size());
  auto session = tools::OpenSession(model, backend, {.max_tokens = tokens, .context = 64},
                                    {.max_outputs = tokens, .prepack_bytes = prepack_bytes});
  EXPECT_TRUE(session.ok()) << session.status();
  const auto sequence = (*session)->NewSequence();
  std::vector<StepToken> step;
  for (const int32_t id : kPrompt) step.push_back({sequence.get(), id, true});
  const auto logits = (*session)->Step(step);
  EXPECT_TRUE(logits.ok()) << logits.status();
  return {logits->begin(), logits->end()};
}

void ExpectSameLogits(const std::string& gguf_path, const std::string& ggml_path) {
  const auto gguf = Model::Load(gguf_path);
  const auto ggml = Model::Load(ggml_path);
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  ASSERT_TRUE(ggml.ok()) << ggml.status();
  EXPECT_THAT((*ggml)->warnings(), testing::IsEmpty());
  const auto ref = MakeRefBackend();
  EXPECT_EQ(LogitsOf(**gguf, *ref, 0), LogitsOf(**ggml, *ref, 0));
  const auto cpu = MakeCpuBackend({.threads = 1});
  for (const int64_t prepack_bytes : {int64_t{0}, int64_t{1} << 30}) {
    EXPECT_EQ(LogitsOf(**gguf, *cpu, prepack_bytes), LogitsOf(**ggml, *cpu, prepack_bytes));
  }
}

TEST_F(GgmlModelTest, PlainFloatsGiveTheSameLogitsInAllVersions) {
  struct Version {
    const char* magic;
    uint32_t version;
  };
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    const std::string gguf = WriteGguf(dtype);
    GgmlBytes content = GgmlOf(gguf);
    for (const auto& [magic, version] :
         {Version{"lmgg", 0}, {"fmgg", 1}, {"tjgg", 1}, {"tjgg", 2}, {"tjgg", 3}}) {
      SCOPED_TRACE(absl::StrCat(magic, version, " ", Name(dtype)));
      content.magic = magic;
      content.version = version;
      ExpectSameLogits(gguf, WriteGgml(content));
    }
  }
}

TEST_F(GgmlModelTest, BlocksGiveTheSameLogitsWhereTheyAreAsToday) {
  for (const DType dtype : {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0,
                            DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
    SCOPED_TRACE(Name(dtype));
    const std::string gguf = WriteGguf(dtype);
    ExpectSameLogits(gguf, WriteGgml(GgmlOf(gguf)));
  }
}

TEST_F(GgmlModelTest, VocabulariesTokenizeAlike) {
  const std::string gguf_path = WriteGguf(DType::kF16);
  const auto gguf = Model::Load(gguf_path);
  const auto ggml = Model::Load(WriteGgml(GgmlOf(gguf_path)));
  ASSERT_TRUE(gguf.ok() && ggml.ok()) << gguf.status() << ggml.status();
  const auto expected = (*gguf)->tokenizer();
  const auto tokenizer = (*ggml)->tokenizer();
  ASSERT_TRUE(expected.ok() && tokenizer.ok()) << expected.status() << tokenizer.status();
  for (const char* text : {"ab ab", "a  b\n", "\xC3\xA9 ba", "<s>", ""}) {
    const std::vector<TokenId> ids = (*tokenizer)->Encode(text);
    EXPECT_EQ(ids, (*expected)->Encode(text)) << text;
    EXPECT_EQ((*tokenizer)->Decode(ids), (*expected)->Decode(ids)) << text;
  }
}

// Nothing says into which tokens such a model's text was cut in training.
TEST_F(GgmlModelTest, WarnsWhereTheFileHasNoScores) {
  GgmlBytes content = GgmlOf(WriteGguf(DType::kF16));
  content.magic = "lmgg";
  const auto model = Model::Load(WriteGgml(content));
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_TRUE((*model)->tokenizer().ok());
  EXPECT_THAT((*model)->warnings(),
              testing::ElementsAre(HasSubstr("key 'tokenizer.ggml.scores': missing")));
}

TEST_F(GgmlModelTest, ShapesThatDisagreeAreErrors) {
  const GgmlBytes valid = GgmlOf(WriteGguf(DType::kF16));
  EXPECT_EQ(LoadError(valid), "");
  EXPECT_EQ(LoadError(valid, {.gqa = 2}), "");
  EXPECT_THAT(LoadError(valid, {.gqa = 4}),
              AllOf(HasSubstr("blk.0.attn_k.weight"), HasSubstr("expected the shape [64,256]")));

  GgmlBytes wrong = valid;
  wrong.tokens.pop_back();
  EXPECT_THAT(LoadError(wrong), AllOf(HasSubstr("token_embd.weight"), HasSubstr("[263,256]")));
  wrong = valid;
  wrong.layers = 2;
  EXPECT_THAT(LoadError(wrong), HasSubstr("tensor 'blk.1.attn_norm.weight': missing"));
  wrong.layers = 1000000000;
  EXPECT_THAT(LoadError(wrong), HasSubstr("key 'llama.block_count': expected 1 to 1024"));
  wrong = valid;
  wrong.heads = 0;
  EXPECT_THAT(LoadError(wrong), HasSubstr("key 'llama.attention.head_count'"));
  wrong = valid;
  wrong.hidden = 128;
  wrong.rotated = 32;
  EXPECT_THAT(LoadError(wrong), HasSubstr("expected the shape"));
}

TEST_F(GgmlModelTest, StoriesGiveTheGoldenText) {
  const std::string source = TestDataDir() + "/stories260k";
  const auto manifest = nlohmann::json::parse(std::ifstream(source + "/manifest.json"));
  auto model = Model::Load(WriteGgml(GgmlOf(source + "/stories260k.gguf")));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->file().format(), "ggjt 3");
  const auto tokenizer = (*model)->tokenizer();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto cpu = MakeCpuBackend({.threads = 1});
  for (const auto& test : manifest["cases"]) {
    const std::vector<int32_t> ids = (*tokenizer)->Encode(test["prompt"].get<std::string>());
    EXPECT_EQ(ids, test["prompt_ids"].get<std::vector<int32_t>>());
    const std::vector<int32_t> golden = test["greedy"];
    const auto session =
        tools::OpenSession(**model, *cpu, {.max_tokens = 64, .context = 128}, {.prepack_bytes = 0});
    ASSERT_TRUE(session.ok()) << session.status();
    const auto text = GreedyText(**session, ids, golden.size());
    ASSERT_TRUE(text.ok()) << text.status();
    EXPECT_EQ(*text, golden);
  }
}

}  // namespace
}  // namespace sluice
