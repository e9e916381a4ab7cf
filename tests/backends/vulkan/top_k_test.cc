// Tokens that are chosen on the device: the op bit by bit, and the texts of steps that bring no
// logits to the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/model.h"
#include "runtime/generate.h"
#include "runtime/likeliest.h"
#include "tests/backends/vulkan/vulkan_support.h"
#include "tests/support/top_k.h"
#include "tools/engine/session.h"

namespace sluice {
namespace {

class VulkanTopK : public VulkanTest {};

TEST_F(VulkanTopK, ChoosesAsTheReferenceDoes) { ExpectTopKOfTheReference(backend()); }

TEST_F(VulkanTopK, SaysHowManyItCanChoose) {
  auto graph = Parse(
      "graph g\ninput %x : f32[2,300]\n%v, %id = top_k(%x) {k=257} : f32[2,257], i32[2,257]\n"
      "output %id\n",
      "test");
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_THAT(std::string(CompileFor(backend(), &*graph).message()),
              testing::HasSubstr("k is 257, expected at most 256"));
}

using Tokens = std::vector<int32_t>;

Tokens Text(Session& session, const SamplerOptions& sampling) {
  Tokens text;
  GenerateOptions options{.max_tokens = 16, .sampling = sampling};
  options.on_token = [&](int32_t token) {
    text.push_back(token);
    return true;
  };
  const auto result = Generate(session, {1, 5, 9, 300, 4}, options);
  EXPECT_TRUE(result.ok()) << result.status();
  return text;
}

TEST_F(VulkanTopK, StepsBringTheLikeliestAndTextsStayTheSame) {
  auto model = Model::LoadEmbedded();
  ASSERT_TRUE(model.ok()) << model.status();
  std::vector<std::unique_ptr<Session>> sessions;  // as it comes, and with whole rows
  for (const std::optional<bool> chooses : {std::optional<bool>(), std::optional<bool>(false)}) {
    auto session = tools::OpenSession(**model, backend(), {.max_tokens = 4, .context = 64},
                                      {.chooses_likeliest = chooses});
    ASSERT_TRUE(session.ok()) << session.status();
    sessions.push_back(*std::move(session));
  }
  EXPECT_EQ(sessions[0]->FormFor(RowForm::kLikeliest), RowForm::kLikeliest);
  EXPECT_EQ(sessions[1]->FormFor(RowForm::kLikeliest), RowForm::kWhole);
  // Greedy, from 40, and from whole rows in both sessions.
  for (const SamplerOptions& sampling :
       {SamplerOptions{.temperature = 0}, SamplerOptions{.temperature = 1.5, .seed = 3},
        SamplerOptions{.top_k = 0, .seed = 3}}) {
    EXPECT_EQ(Text(*sessions[0], sampling), Text(*sessions[1], sampling)) << sampling.top_k;
  }
}

}  // namespace
}  // namespace sluice
