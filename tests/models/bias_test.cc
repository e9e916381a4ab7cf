// A bias that a file has acts, wherever its product stands, and as adding it afterwards would.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/text.h"
#include "models/model.h"
#include "tests/support/model_file.h"
#include "tools/engine/session.h"

namespace sluice {
namespace {

using ::testing::FloatNear;
using ::testing::Pointwise;

std::unique_ptr<Model> Load(const ModelFile& file) {
  ModelFiles files;
  files.push_back(file.Open());
  absl::StatusOr<std::unique_ptr<Model>> model = Model::FromFiles(std::move(files));
  EXPECT_TRUE(model.ok()) << model.status();
  return *std::move(model);
}

// Of the last of a few tokens.
std::vector<float> Logits(const Model& model, Backend& backend) {
  auto session =
      tools::OpenSession(model, backend, {.max_tokens = 4, .context = 16}, {.prepack_bytes = 0});
  EXPECT_TRUE(session.ok()) << session.status();
  const auto sequence = (*session)->NewSequence();
  const auto logits = (*session)->Prefill(*sequence, {1, 3, 2, 5});
  EXPECT_TRUE(logits.ok()) << logits.status();
  return {logits->begin(), logits->end()};
}

ModelFile Tied(const char* architecture) { return ModelFile(architecture).RandomWeights(); }

class OutputBias : public ::testing::TestWithParam<const char*> {};

TEST_P(OutputBias, IsAddedToTiedAndOtherLogits) {
  for (const bool tied : {true, false}) {
    ModelFile file = Tied(GetParam());
    if (!tied) file.Tensor("output.weight", {6, 32});
    const auto plain = Load(file);
    const auto biased = Load(file.Tensor("output.bias", {6}));
    EXPECT_EQ(biased->warnings(), plain->warnings());
    const auto* bias =
        reinterpret_cast<const float*>(biased->weights().at("output.bias").front().data());
    for (const auto& backend : {MakeRefBackend(), MakeCpuBackend({.threads = 1})}) {
      std::vector<float> expected = Logits(*plain, *backend);
      for (size_t i = 0; i < expected.size(); ++i) expected[i] += bias[i];
      EXPECT_NE(bias[1], 0);
      // One sum more in float, of numbers up to 4.
      EXPECT_THAT(Logits(*biased, *backend), Pointwise(FloatNear(1e-6F), expected))
          << backend->name() << (tied ? " tied" : "");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, OutputBias, ::testing::Values("llama", "qwen2", "qwen3"));

// Every product of a layer takes one: the graph has it, and no warning says that it is unused.
TEST(Biases, ActInEveryProductOfALayer) {
  ModelFile file = ModelFile("qwen2");
  const std::pair<const char*, int64_t> biases[] = {
      {"attn_q", 32},   {"attn_k", 16}, {"attn_v", 16},  {"attn_output", 32},
      {"ffn_gate", 64}, {"ffn_up", 64}, {"ffn_down", 32}};
  for (const auto& [name, length] : biases) {
    file.Tensor(absl::StrCat("blk.0.", name, ".bias"), {length});
  }
  const auto model = Load(file);
  EXPECT_THAT(model->warnings(), testing::IsEmpty());
  const auto graph = model->BuildGraph({.max_tokens = 4, .context = 16});
  ASSERT_TRUE(graph.ok()) << graph.status();
  const std::string text = Print(*graph);
  for (const auto& [name, length] : biases) {
    EXPECT_TRUE(absl::StrContains(text, absl::StrCat("@blk.0.", name, ", @blk.0.", name, ".bias)")))
        << name;
  }
}

TEST(Biases, ActInRoutersAndExperts) {
  ModelFile file = ModelFile::WithExperts("qwen3moe");
  file.Tensor("blk.0.ffn_gate_inp.bias", {4});
  for (const char* name : {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"}) {
    file.Tensor(absl::StrCat("blk.0.", name, ".bias"), {4, 32});
  }
  const auto model = Load(file);
  EXPECT_THAT(model->warnings(), testing::IsEmpty());
  const auto graph = model->BuildGraph({.max_tokens = 4, .context = 16});
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->weights().size(), 18U);
}

}  // namespace
}  // namespace sluice
