// What parts of a step exchange with other devices: how much memory that takes, and that nothing is
// lost which is wanted later.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/placed/placed_backend.h"
#include "backends/ref/ref_backend.h"
#include "backends/vulkan/staging.h"
#include "graph/text.h"
#include "passes/pipeline.h"
#include "tests/backends/vulkan/vulkan_support.h"
#include "tests/support/op_cases.h"

namespace sluice {
namespace {

// As a device's graph is: each part takes a value from another device and gives one back.
constexpr int kParts = 8;
constexpr int64_t kValueBytes = 64 * 256 * 4;
std::string PartsText() {
  std::string text = "graph g\nsymbol tokens <= 64\n", nodes, outputs;
  for (int i = 0; i < kParts; ++i) {
    absl::StrAppend(&text, "input %x", i, " : f32[tokens,256]\n");
    nodes += absl::Substitute(
        "%c$0 = copy(%x$0) : f32[tokens,256]\n%y$0 = silu(%c$0) : f32[tokens,256]\n", i);
    absl::StrAppend(&outputs, "output %y", i, "\n");
  }
  return absl::StrCat(text, nodes, outputs);
}

TEST(VulkanStaging, TakesTheMemoryOfOnePart) {
  const auto backend = MakeVulkanBackend();
  auto device = vulkan::Device::Create({});
  if (!backend.ok() || !device.ok()) GTEST_SKIP() << backend.status() << device.status();
  absl::StatusOr<Graph> graph = Parse(PartsText(), "test");
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_TRUE(CompileFor(**backend, &*graph).ok());
  vulkan::Shared shared;
  shared.device = *std::move(device);
  shared.pipelines = std::make_unique<vulkan::PipelineCache>(*shared.device);
  vulkan::AddTransferKernels(&shared.kernels);
  vulkan::AddElementwiseKernels(&shared.kernels);
  const auto program = vulkan::CompileProgram(*graph, {}, shared);
  ASSERT_TRUE(program.ok()) << program.status();

  vulkan::Staging staging(*shared.device, *graph, *program);
  ASSERT_TRUE(staging.Reserve({0, 0}).ok());
  const int64_t fixed = staging.bytes();
  EXPECT_LT(fixed, 1024);
  const std::byte* first = nullptr;
  for (size_t part = 0; part < kParts; ++part) {
    const auto is_moved = staging.Reserve({2 * part, 2 * part + 2});
    ASSERT_TRUE(is_moved.ok()) << is_moved.status();
    EXPECT_EQ(*is_moved, part == 0) << part;
    EXPECT_LE(staging.bytes(), fixed + 2 * kValueBytes) << part;
    EXPECT_TRUE(staging.IsTaken(part, {2 * part, 2 * part + 2}));
    EXPECT_TRUE(staging.IsGiven(part, {2 * part, 2 * part + 2}));
    if (part == 0) first = staging.HostOf(program->outputs[0]);
    EXPECT_EQ(staging.HostOf(program->outputs[part]), first) << part;
  }
  // All of it at once takes as much as before.
  EXPECT_TRUE(*staging.Reserve({0, 2 * kParts}));
  EXPECT_GE(staging.bytes(), 2 * kParts * kValueBytes);
}

// %a is made by Vulkan's first part and read when its second one has run, and is an output as well.
TEST(VulkanStaging, KeepsWhatIsReadLater) {
  auto device = MakeVulkanBackend();
  if (!device.ok()) GTEST_SKIP() << device.status();
  Placement placement;
  placement.devices.push_back(*std::move(device));
  placement.devices.push_back(MakeCpuBackend({.threads = 1}));
  const auto both = MakePlacedBackend(std::move(placement));
  ASSERT_TRUE(both.ok()) << both.status();
  absl::StatusOr<Graph> graph = Parse(
      "graph g\nsymbol tokens <= 8\ninput %x : f32[tokens,64]\n"
      "%a = silu(%x) : f32[tokens,64] device(vulkan)\n"
      "%u = scale(%x) {factor=2.0} : f32[tokens,64] device(cpu)\n"
      "%uv = copy(%u) : f32[tokens,64] device(vulkan)\n"
      "%v = silu(%uv) : f32[tokens,64] device(vulkan)\n"
      "%ac = copy(%a) : f32[tokens,64] device(cpu)\n"
      "%vc = copy(%v) : f32[tokens,64] device(cpu)\n"
      "%y = mul(%ac, %vc) : f32[tokens,64] device(cpu)\noutput %y\noutput %a\n",
      "test");
  ASSERT_TRUE(graph.ok()) << graph.status();
  Graph compiled = graph->Clone();
  const absl::Status status = CompileFor(**both, &compiled);
  ASSERT_TRUE(status.ok()) << status;
  auto data = RandomData::Make(*graph, /*seed=*/1);
  ASSERT_TRUE(data.ok()) << data.status();
  const auto ref = MakeRefBackend();
  const auto expected = data->Run(*ref, *graph), got = data->Run(**both, compiled);
  ASSERT_TRUE(expected.ok()) << expected.status();
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_LT(Nmse(*expected, *got), 1e-11);  // float32
}

}  // namespace
}  // namespace sluice
