// What a whole model makes a device do, counted without its weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "absl/strings/str_cat.h"
#include "models/model.h"
#include "models/shapes/shaped_model.h"
#include "tests/backends/vulkan/vulkan_support.h"
#include "tools/inspect/inspect.h"

namespace sluice {
namespace {

class VulkanInspect : public VulkanTest {
 protected:
  static std::unique_ptr<Model> Shaped(const std::string& name) {
    const std::string path = absl::StrCat(testing::TempDir(), name, ".", getpid(), ".gguf");
    const absl::Status status = WriteShapedModel(
        *FindModelShape(name), {.mix = FindQuantisationMix("Q4_K_M"), .metadata_only = true}, path);
    EXPECT_TRUE(status.ok()) << status;
    auto model = Model::Load(path);
    std::filesystem::remove(path);
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *std::move(model) : nullptr;
  }

  static StepSchedule ScheduleOf(const Model& model, int64_t tokens) {
    const auto plan =
        PlanModel(model, backend(),
                  {.decoder = {.max_tokens = tokens, .context = 4096}, .buckets = {tokens}});
    EXPECT_TRUE(plan.ok()) << plan.status();
    if (!plan.ok()) return {};
    const auto work = backend().Schedule(plan->buckets[0].graph);
    EXPECT_TRUE(work.ok()) << work.status();
    return work.ok() ? ScheduleByLayer(*work) : StepSchedule{};
  }
};

TEST_F(VulkanInspect, AnOpOfAMixtureOfExpertsIsOneDispatch) {
  const auto model = Shaped("qwen3-30b-a3b");
  ASSERT_NE(model, nullptr);
  const StepSchedule schedule = ScheduleOf(*model, 1);
  ASSERT_EQ(schedule.kinds.size(), 2u);
  const LayerWork& layer = schedule.kinds[0];
  EXPECT_EQ(layer.layers.size(), 48u);
  std::vector<std::string> ops;
  for (const NodeWork& node : layer.nodes) {
    ops.push_back(node.op);
    EXPECT_EQ(node.dispatches, 1) << node.op;
    EXPECT_EQ(node.barriers, 1) << node.op;
  }
  EXPECT_THAT(ops, testing::ElementsAre("rms_norm", "qkv_matmul", "qk_norm_rope_append",
                                        "attention", "matmul", "add_rms_norm", "router_topk",
                                        "indexed_expert_glu", "indexed_expert_sum"));
  EXPECT_EQ(schedule.total.copies, 2);  // the inputs, and the logits
}

TEST_F(VulkanInspect, GroupedExpertsAreRoutedOnce) {
  const auto model = Shaped("qwen3-30b-a3b");
  ASSERT_NE(model, nullptr);
  const StepSchedule schedule = ScheduleOf(*model, 512);
  ASSERT_FALSE(schedule.kinds.empty());
  std::map<std::string, int64_t> dispatches, barriers;  // by kernel
  for (const NodeWork& node : schedule.kinds[0].nodes) {
    dispatches[node.kernel] += node.dispatches;
    barriers[node.kernel] += node.barriers;
  }
  EXPECT_EQ(dispatches["vulkan.moe_gather"], 2);  // places, then rows
  EXPECT_EQ(dispatches["vulkan.expert_tiles"], 1);
  EXPECT_EQ(barriers["vulkan.expert_tiles"], 0);  // beside the rows' copy
  EXPECT_EQ(dispatches["vulkan.expert_glu.tiles"], 1);
  EXPECT_EQ(dispatches["vulkan.expert_matmul.tiles"], 1);
  EXPECT_EQ(dispatches["vulkan.matmul.tiles"], 2);  // after attention, and for the router
}

TEST_F(VulkanInspect, AStepBringsTheLikeliestTokensAndNoLogits) {
  const auto model = Shaped("qwen3-0.6b");
  ASSERT_NE(model, nullptr);
  std::vector<Inspection> forms;
  for (const RowForm form : {RowForm::kWhole, RowForm::kLikeliest}) {
    auto inspection = InspectModel(
        *model, backend(),
        {.plan = {.decoder = {.max_tokens = 1, .context = 4096}, .buckets = {1}, .form = form}});
    ASSERT_TRUE(inspection.ok()) << inspection.status();
    forms.push_back(*std::move(inspection));
  }
  EXPECT_EQ(forms[0].output_bytes, 151936 * 4);
  EXPECT_EQ(forms[1].output_bytes, 64 * (4 + 4));
  const NodeWork &whole = forms[0].schedule.total, &likeliest = forms[1].schedule.total;
  EXPECT_EQ(likeliest.dispatches, whole.dispatches + 1);
  EXPECT_EQ(likeliest.barriers, whole.barriers + 1);
  EXPECT_EQ(likeliest.copies, whole.copies + 1);  // values and ids
}

}  // namespace
}  // namespace sluice
