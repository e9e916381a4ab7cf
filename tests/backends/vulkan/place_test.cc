// One graph on a Vulkan device and the CPU together, under validation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "backends/cpu/cpu_backend.h"
#include "backends/placed/placed_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/device_split.h"
#include "graph/text.h"
#include "models/model.h"
#include "passes/pipeline.h"
#include "tests/backends/vulkan/vulkan_support.h"
#include "tests/support/golden_logits.h"
#include "tests/support/random_graph.h"
#include "tools/debug/random_data.h"
#include "tools/engine/session.h"

namespace sluice {
namespace {

using testing::HasSubstr;

class VulkanPlace : public testing::Test {
 protected:
  void SetUp() override {
    auto model = Model::LoadEmbedded();
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }
  void TearDown() override {
    for (const std::string& message : messages_) ADD_FAILURE() << message;
  }

  // nullptr, and the test is skipped, where there is no device.
  std::unique_ptr<Backend> VulkanAndCpu(Placement placement) {
    auto vulkan =
        MakeVulkanBackend({.validate = true, .on_message = [this](const std::string& message) {
                             messages_.push_back(message);
                           }});
    if (!vulkan.ok()) return nullptr;
    placement.devices.push_back(*std::move(vulkan));
    placement.devices.push_back(MakeCpuBackend({.threads = 1}));
    auto backend = MakePlacedBackend(std::move(placement));
    EXPECT_TRUE(backend.ok()) << backend.status();
    return *std::move(backend);
  }

  absl::StatusOr<std::unique_ptr<Session>> Open(Backend& backend) {
    return tools::OpenSession(*model_, backend, {.max_tokens = 16, .context = 64},
                              {.max_outputs = 16, .prepack_bytes = 0});
  }

  // Steps of several sizes, each with the cache that those before have left.
  std::vector<float> Logits(Session& session) {
    std::vector<float> all;
    for (const size_t chunk : {size_t{1}, size_t{3}, kIds.size()}) {
      const auto logits = LogitsOf(session, kIds, chunk);
      EXPECT_TRUE(logits.ok()) << logits.status();
      all.insert(all.end(), logits->begin(), logits->end());
    }
    return all;
  }

  // Runs the model in three ways: as the reference does, watched, and as before.
  void ExpectTheReferencesLogits(Backend& backend) {
    const auto ref = MakeRefBackend();
    const auto expected = Open(*ref), session = Open(backend);
    ASSERT_TRUE(expected.ok()) << expected.status();
    ASSERT_TRUE(session.ok()) << session.status();
    const std::vector<float> logits = Logits(**session);
    // Sums in float32 against float64, and a cache of 11 bits whose ties may fall either way.
    EXPECT_LT(Nmse({Logits(**expected)}, {logits}), 1e-6);
    class Values : public RunObserver {
      void OnNode(const Node& node, absl::Span<const TensorView>,
                  absl::Span<const TensorView> results, double) override {
        for (const TensorView& result : results) EXPECT_TRUE(result.present()) << node.name();
      }
    } values;
    class Times : public RunObserver {
      bool needs_values() const override { return false; }
      void OnNode(const Node&, absl::Span<const TensorView>, absl::Span<const TensorView>,
                  double) override {}
    } times;
    for (RunObserver* observer : std::vector<RunObserver*>{&values, &times, nullptr}) {
      (*session)->set_observer(observer);
      EXPECT_EQ(Logits(**session), logits);
    }
  }

  const std::vector<int32_t> kIds = {1, 17, 300, 5, 9, 42, 7};
  std::vector<std::string> messages_;  // of the validation layers
  std::unique_ptr<Model> model_;
};

TEST_F(VulkanPlace, LayersOnTheDevice) {
  const auto both = VulkanAndCpu({.layers = 3});
  if (both == nullptr) GTEST_SKIP() << "no Vulkan device";
  ExpectTheReferencesLogits(*both);
}

TEST_F(VulkanPlace, ExpertsOnTheCpu) {
  const auto both = VulkanAndCpu({.rules = {*ParsePlaceRule("exps=cpu")}});
  if (both == nullptr) GTEST_SKIP() << "no Vulkan device";
  ExpectTheReferencesLogits(*both);
  const auto session = Open(*both);
  ASSERT_TRUE(session.ok()) << session.status();
  const auto executable = (*session)->ExecutableFor(1);
  ASSERT_TRUE(executable.ok()) << executable.status();
  const std::string text = Print((*executable)->graph());
  EXPECT_THAT(text, HasSubstr("device(vulkan) kernel(\"vulkan.copy\")"));
  EXPECT_THAT(text, HasSubstr("device(cpu) kernel(\"cpu.copy\")"));
}

// Of which Vulkan has not every kernel, and which have constants, several outputs and values that
// are read on both devices, again and again.
TEST_F(VulkanPlace, RandomGraphsWithFallback) {
  const auto both = VulkanAndCpu(
      {.rules = {*ParsePlaceRule("[aeiou]$=cpu"), *ParsePlaceRule(".=vulkan")}, .fallback = true});
  if (both == nullptr) GTEST_SKIP() << "no Vulkan device";
  const auto ref = MakeRefBackend();
  const auto state = both->Allocate(64);
  ASSERT_TRUE(state.ok()) << state.status();
  const bool are_states_visible = (*state)->host() != nullptr;
  size_t parts = 0;
  constexpr uint64_t kGraphs = 25;
  for (uint64_t seed = 1; seed <= kGraphs; ++seed) {
    auto graph = MakeRandomGraph(seed);
    ASSERT_TRUE(graph.ok()) << graph.status();
    // A rule without a node is an error.
    if (std::none_of(graph->nodes().begin(), graph->nodes().end(),
                     [&](const auto& node) { return Fits(both->placement()->rules[0], *node); })) {
      continue;
    }
    const auto data = RandomData::Make(*graph, seed);
    ASSERT_TRUE(data.ok()) << data.status();
    const absl::Status status = Optimize(*both, {}, &*graph);
    ASSERT_TRUE(status.ok()) << "seed " << seed << ": " << status;
    // States that the host does not see have no random contents, and blocks round what a graph
    // makes of them too much for one tolerance.
    const auto is_compared = [&](const auto& each) {
      return are_states_visible && each->type().dtype != DType::kQ8_0;
    };
    if (!std::all_of(graph->states().begin(), graph->states().end(), is_compared)) continue;
    const auto expected = data->Run(*ref, *graph), got = data->Run(*both, *graph);
    ASSERT_TRUE(expected.ok()) << "seed " << seed << ": " << expected.status();
    ASSERT_TRUE(got.ok()) << "seed " << seed << ": " << got.status();
    // float32 sums, and values that are rounded to 8 bits of bfloat16 on their way.
    EXPECT_LT(Nmse(*expected, *got), 1e-4) << "seed " << seed << "\n" << Print(*graph);
    parts += SplitByDevice(*graph)->parts.size();
  }
  EXPECT_GT(parts, 2 * kGraphs);
}

}  // namespace
}  // namespace sluice
