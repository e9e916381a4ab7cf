// Whole models as they will run, so that a change in fusion, kernel choice or memory shows up as a
// difference: tests/passes/golden/MODEL.STEP.ir, and docs/passes.md. Weights are never read: the
// files of the big models have none.
//
//   passes_tests --only=passes/golden_test.cc --update    writes what it found instead of comparing
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "backends/cpu/cpu_backend.h"
#include "graph/text.h"
#include "models/model.h"
#include "models/shapes/shaped_model.h"
#include "passes/memory_plan.h"
#include "passes/pipeline.h"
#include "passes/specialise.h"
#include "tests/support/arguments.h"
#include "tests/support/model_file.h"
#include "tools/debug/pass_report.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPromptTokens = 512, kContext = 4096;
constexpr int64_t kPrepackBytes = int64_t{4} << 30;  // not enough for the two big ones

// Fixed, so that the outcome does not depend on the machine.
proto::DeviceCaps FixedCaps() {
  proto::DeviceCaps caps;
  caps.set_backend("cpu");
  caps.set_threads(2);
  caps.set_l2_bytes(1 << 20);
  caps.set_memory_bytes(int64_t{16} << 30);
  caps.add_features("avx2");
  caps.add_features("fma");
  caps.add_features("f16c");
  return caps;
}

struct Golden {
  std::string model;  // a shape's name, "stories-moe" for the embedded one, or a tiny architecture
  int64_t tokens;
  // What the planner may waste: greedy placement is not optimal, and places are aligned.
  double most_of_bound = 1.1;
};

std::ostream& operator<<(std::ostream& out, const Golden& golden) {
  return out << golden.model << " with " << golden.tokens << " tokens";
}

// Architectures that no shape has come in two layers of the smallest size.
absl::Status Write(const std::string& name, const std::string& path) {
  if (name == "qwen2") ModelFile("qwen2", 2).Write(path);
  if (name == "bert") ModelFile::Bert(2).Write(path);
  if (name == "qwen2" || name == "bert") return absl::OkStatus();
  return WriteShapedModel(*FindModelShape(name),
                          {.mix = FindQuantisationMix("Q4_K_M"), .metadata_only = true}, path);
}

std::unique_ptr<Model> Open(const std::string& name) {
  if (name == "stories-moe") return *Model::LoadEmbedded();
  const fs::path path = fs::path(testing::TempDir()) / absl::StrCat(name, ".golden.gguf");
  const absl::Status status = Write(name, path.string());
  EXPECT_TRUE(status.ok()) << status;
  absl::StatusOr<std::unique_ptr<Model>> model = Model::Load(path.string());
  fs::remove(path);  // it stays mapped
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *std::move(model) : nullptr;
}

void Compare(const fs::path& path, const std::string& got) {
  const std::vector<std::string>& arguments = TestArguments();
  if (std::find(arguments.begin(), arguments.end(), "--update") != arguments.end()) {
    std::ofstream(path) << got;
    return;
  }
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  if (text.str() == got) return;
  const std::vector<std::string> expected = absl::StrSplit(text.str(), '\n');
  const std::vector<std::string> lines = absl::StrSplit(got, '\n');
  size_t at = 0;
  while (at < expected.size() && at < lines.size() && expected[at] == lines[at]) ++at;
  ADD_FAILURE() << path.filename() << " has " << expected.size() << " lines, got " << lines.size()
                << "; the first difference is in line " << at + 1 << "\n  expected  "
                << (at < expected.size() ? expected[at] : "the end") << "\n  got       "
                << (at < lines.size() ? lines[at] : "the end")
                << "\nIf the change is meant, run it with --update and look at the diff.";
}

class GoldenModel : public testing::TestWithParam<Golden> {};

TEST_P(GoldenModel, CompilesAsBefore) {
  const std::unique_ptr<Model> model = Open(GetParam().model);
  ASSERT_NE(model, nullptr);
  const int64_t context = std::min(kContext, model->config().context_length);
  absl::StatusOr<Graph> graph =
      model->BuildGraph({.max_tokens = kPromptTokens, .context = context});
  ASSERT_TRUE(graph.ok()) << graph.status();
  const std::unique_ptr<Backend> cpu = MakeCpuBackend();
  const proto::DeviceCaps caps = FixedCaps();
  PackPlan packs{.budget = kPrepackBytes};
  const absl::Status status =
      RunPasses(Pipeline(), {.caps = &caps, .kernels = cpu->kernels()},
                {.bucket = BucketBounds(GetParam().tokens, 1), .packs = &packs}, &*graph);
  ASSERT_TRUE(status.ok()) << status;
  Compare(
      fs::path(SLUICE_SOURCE_DIR) / "tests/passes/golden" /
          absl::StrCat(GetParam().model, GetParam().tokens == 1 ? ".decode" : ".prefill", ".ir"),
      Print(*graph));

  const absl::StatusOr<MemoryPlan> plan = MemoryPlanOf(*graph, cpu->kernels());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_LE(static_cast<double>(plan->arena),
            GetParam().most_of_bound * static_cast<double>(plan->lower_bound));
  EXPECT_GE(plan->arena, plan->lower_bound);
  EXPECT_EQ(plan->packed, packs.used);
  EXPECT_LE(plan->packed, kPrepackBytes);
}

INSTANTIATE_TEST_SUITE_P(
    All, GoldenModel,
    testing::Values(Golden{"stories-moe", 1}, Golden{"stories-moe", kPromptTokens},
                    Golden{"qwen3-0.6b", 1}, Golden{"qwen3-0.6b", kPromptTokens},
                    Golden{"qwen3-30b-a3b", 1}, Golden{"qwen3-30b-a3b", kPromptTokens},
                    Golden{"llama-3.2-1b", 1}, Golden{"llama-3.2-1b", kPromptTokens},
                    Golden{"mixtral-8x7b", 1}, Golden{"mixtral-8x7b", kPromptTokens},
                    Golden{"qwen2", 1}, Golden{"qwen2", kPromptTokens},
                    Golden{"bert", kPromptTokens, 1.17}));  // 1.166 when first recorded

TEST(PassesPage, IsUpToDate) {
  const std::unique_ptr<Model> model = Open("qwen3-30b-a3b");
  ASSERT_NE(model, nullptr);
  absl::StatusOr<Graph> graph = model->BuildGraph({});
  ASSERT_TRUE(graph.ok()) << graph.status();
  const std::unique_ptr<Backend> cpu = MakeCpuBackend();
  const proto::DeviceCaps caps = FixedCaps();
  PackPlan packs{.budget = kPrepackBytes};
  const auto effects = RunAndReport({.caps = &caps, .kernels = cpu->kernels()},
                                    {.bucket = BucketBounds(1, 1), .packs = &packs}, &*graph);
  ASSERT_TRUE(effects.ok()) << effects.status();
  EXPECT_LE(100 * effects->back().nodes_after, 55 * effects->front().nodes_before);
  Compare(fs::path(SLUICE_SOURCE_DIR) / "docs/passes.md", PassesPage("Qwen3-30B-A3B", *effects));
}

}  // namespace
}  // namespace sluice
