// Model files of known shapes: sizes against published ones, block formats, vocabularies, weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "backends/cpu/cpu_backend.h"
#include "models/model.h"
#include "models/shapes/shaped_model.h"
#include "passes/pipeline.h"
#include "runtime/session.h"
#include "tools/engine/session.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Small enough to be written with weights in a test.
ModelShape TinyShape() {
  ModelShape shape = *FindModelShape("qwen3-30b-a3b");
  shape.layers = 2;
  shape.hidden = 256;
  shape.heads = 4;
  shape.kv_heads = 2;
  shape.head_length = 64;
  shape.vocabulary = 600;
  shape.experts = 4;
  shape.experts_used = 2;
  shape.expert_feed_forward = 256;
  return shape;
}

class Shapes : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }

  std::unique_ptr<Model> Write(const ModelShape& shape, absl::string_view mix,
                               ShapedModelOptions options) {
    options.mix = FindQuantisationMix(mix);
    const absl::Status status = WriteShapedModel(shape, options, path_);
    EXPECT_TRUE(status.ok()) << status;
    auto model = Model::Load(path_);
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *std::move(model) : nullptr;
  }
  std::string Bytes() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  const std::string path_ = absl::StrCat(
      testing::TempDir(), "sluice.", testing::UnitTest::GetInstance()->current_test_info()->name(),
      ".", getpid(), ".gguf");
};

int64_t Parameters(const std::vector<ShapedTensor>& tensors) {
  int64_t total = 0;
  for (const ShapedTensor& tensor : tensors) total += tensor.elements();
  return total;
}

// The published number of each model is the sum over its tensors; Llama's file adds the divisors of
// its rotation frequencies, which are no parameters.
TEST_F(Shapes, ParametersAreThePublishedOnes) {
  for (const ModelShape& shape : ModelShapes()) {
    SCOPED_TRACE(shape.name);
    const int64_t divisors = shape.rope_factors ? shape.head_length / 2 : 0;
    for (const QuantisationMix& mix : QuantisationMixes()) {
      EXPECT_EQ(Parameters(ShapedTensors(shape, mix)), shape.parameters + divisors);
    }
  }
  // By hand: the table, and per layer q and o, k and v, three feed-forward matrices, norms.
  constexpr int64_t kTable = 151936 * 1024;
  constexpr int64_t kLayer =
      2 * 2048 * 1024 + 2 * 1024 * 1024 + 3 * 3072 * 1024 + 2 * 1024 + 2 * 128;
  EXPECT_EQ(FindModelShape("qwen3-0.6b")->parameters, kTable + 28 * kLayer + 1024);
}

TEST_F(Shapes, EveryShapeLoadsAndCompilesWithoutData) {
  const std::unique_ptr<Backend> backend = MakeCpuBackend({.threads = 1});
  for (const ModelShape& shape : ModelShapes()) {
    SCOPED_TRACE(shape.name);
    const auto model = Write(shape, "Q4_K_M", {.metadata_only = true});
    ASSERT_NE(model, nullptr);
    EXPECT_THAT(model->warnings(), IsEmpty());
    const ModelConfig& config = model->config();
    EXPECT_EQ(config.layers.size(), shape.layers);
    EXPECT_EQ(config.hidden, shape.hidden);
    EXPECT_EQ(config.layers[0].heads, shape.heads);
    EXPECT_EQ(config.layers[0].kv_heads, shape.kv_heads);
    EXPECT_EQ(config.key_length, shape.head_length);
    EXPECT_EQ(config.vocabulary, shape.vocabulary);
    EXPECT_EQ(config.context_length, shape.context);
    EXPECT_EQ(config.rope.base, shape.rope_base);
    EXPECT_EQ(config.rms_eps, shape.rms_eps);
    EXPECT_EQ(config.experts, shape.experts);
    EXPECT_EQ(config.experts_used, shape.experts_used);
    EXPECT_EQ(config.layers[0].expert_feed_forward, shape.expert_feed_forward);
    auto graph = model->BuildGraph({.max_tokens = 16, .context = 256});
    ASSERT_TRUE(graph.ok()) << graph.status();
    const absl::Status status = Optimize(*backend, {}, &*graph);
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST_F(Shapes, FilesWithoutDataHaveTheirFullSizeAndTakeLittleDisk) {
  const ModelShape& shape = *FindModelShape("mixtral-8x7b");
  ASSERT_NE(Write(shape, "Q4_K_M", {.metadata_only = true}), nullptr);
  int64_t bytes = 0;
  for (const ShapedTensor& tensor : ShapedTensors(shape, *FindQuantisationMix("Q4_K_M"))) {
    bytes += tensor.bytes();
  }
  struct stat file = {};
  ASSERT_EQ(stat(path_.c_str(), &file), 0);
  EXPECT_GT(file.st_size, bytes);
  EXPECT_LT(file.st_blocks * 512, 16 << 20);
}

std::vector<int64_t> LayersWith(const std::vector<ShapedTensor>& tensors, absl::string_view suffix,
                                DType dtype) {
  std::vector<int64_t> layers;
  int64_t layer = 0;
  for (const ShapedTensor& tensor : tensors) {
    if (!absl::EndsWith(tensor.name, suffix)) continue;
    if (tensor.dtype == dtype) layers.push_back(layer);
    ++layer;
  }
  return layers;
}

DType FormatOf(const std::vector<ShapedTensor>& tensors, absl::string_view name) {
  const auto it = std::find_if(tensors.begin(), tensors.end(),
                               [&](const ShapedTensor& tensor) { return tensor.name == name; });
  return it != tensors.end() ? it->dtype : DType::kF64;
}

// As llama.cpp v0.5.0 quantises files of these shapes.
TEST_F(Shapes, MediumMixGivesSomeLayersMoreBits) {
  const QuantisationMix& mix = *FindQuantisationMix("Q4_K_M");
  const auto dense = ShapedTensors(*FindModelShape("qwen3-0.6b"), mix);
  const auto more = ElementsAre(0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27);
  EXPECT_THAT(LayersWith(dense, "attn_v.weight", DType::kQ6_K), more);
  EXPECT_THAT(LayersWith(dense, "ffn_down.weight", DType::kQ6_K), more);
  EXPECT_EQ(FormatOf(dense, "token_embd.weight"), DType::kQ6_K);  // is the output, too
  EXPECT_EQ(FormatOf(dense, "blk.0.ffn_up.weight"), DType::kQ4_K);
  EXPECT_EQ(FormatOf(dense, "blk.0.attn_norm.weight"), DType::kF32);

  const auto eight = ShapedTensors(*FindModelShape("mixtral-8x7b"), mix);
  EXPECT_EQ(FormatOf(eight, "token_embd.weight"), DType::kQ4_K);
  EXPECT_EQ(FormatOf(eight, "output.weight"), DType::kQ6_K);
  EXPECT_EQ(FormatOf(eight, "blk.9.attn_k.weight"), DType::kQ8_0);
  EXPECT_EQ(FormatOf(eight, "blk.9.attn_v.weight"), DType::kQ8_0);
  EXPECT_EQ(FormatOf(eight, "blk.9.attn_output.weight"), DType::kQ5_K);
  EXPECT_EQ(FormatOf(eight, "blk.9.ffn_gate_inp.weight"), DType::kF32);
}

TEST_F(Shapes, VocabulariesEncodeAnyTextAndGiveItBack) {
  for (const char* name : {"qwen3-0.6b", "mixtral-8x7b"}) {
    SCOPED_TRACE(name);
    const ModelShape& shape = *FindModelShape(name);
    const auto model = Write(shape, "F16", {.layers = 1, .metadata_only = true});
    ASSERT_NE(model, nullptr);
    const auto tokenizer = model->tokenizer();
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    EXPECT_THAT(model->warnings(), IsEmpty());
    EXPECT_EQ((*tokenizer)->size(), shape.vocabulary);
    EXPECT_EQ((*tokenizer)->bos(), shape.tokens->bos);
    EXPECT_EQ((*tokenizer)->eos(), shape.tokens->eos);
    const std::string text = "Hello, World 42!\n\tγειά 世界 \x01";
    EXPECT_EQ((*tokenizer)->Decode((*tokenizer)->Encode(text, {.add_special = false})), text);
    // Words of letters are tokens, so that texts are about as many tokens as with real ones.
    EXPECT_NE((*tokenizer)->Find("cat"), kNoToken);
    EXPECT_LE((*tokenizer)->Encode("cat", {.add_special = false}).size(), 2u);
  }
}

TEST_F(Shapes, WeightsFollowFromTheSeedAndRun) {
  const ModelShape shape = TinyShape();
  const auto model = Write(shape, "Q4_K_M", {.seed = 7});
  ASSERT_NE(model, nullptr);
  const std::string first = Bytes();
  const std::unique_ptr<Backend> backend = MakeCpuBackend({.threads = 1});
  auto session =
      tools::OpenSession(*model, *backend, {.max_tokens = 8, .context = 64}, {.prepack_bytes = 0});
  ASSERT_TRUE(session.ok()) << session.status();
  const auto sequence = (*session)->NewSequence();
  const auto logits = (*session)->Prefill(*sequence, std::vector<int32_t>{1, 2, 3});
  ASSERT_TRUE(logits.ok()) << logits.status();
  // The last product has rows of deviation 1 / sqrt(hidden) and an input of mean square 1.
  double square = 0;
  for (const float logit : *logits) square += double{logit} * logit;
  EXPECT_NEAR(square / static_cast<double>(logits->size()), 1, 0.5);

  Write(shape, "Q4_K_M", {.seed = 7});
  EXPECT_EQ(Bytes(), first);
  Write(shape, "Q4_K_M", {.seed = 8});
  EXPECT_NE(Bytes(), first);
}

TEST_F(Shapes, WritingReportsProgressToTheLastByte) {
  int64_t written = 0, bytes = 0;
  ASSERT_NE(Write(TinyShape(), "Q8_0", {.on_written = [&](int64_t n) { written += n; }}), nullptr);
  for (const ShapedTensor& tensor : ShapedTensors(TinyShape(), *FindQuantisationMix("Q8_0"))) {
    bytes += tensor.bytes();
  }
  EXPECT_EQ(written, bytes);
}

TEST_F(Shapes, TooLittleDiskIsSaidBeforeAnythingIsWritten) {
  ModelShape shape = *FindModelShape("mixtral-8x7b");
  shape.feed_forward = shape.expert_feed_forward = int64_t{1} << 32;  // petabytes
  const absl::Status status = WriteShapedModel(shape, {.mix = FindQuantisationMix("F16")}, path_);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the file needs"));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace sluice
