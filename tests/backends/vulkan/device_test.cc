// The device by itself: what there is, memory, transfers, and errors that are statuses.
#include "backends/vulkan/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/vulkan/lowering.h"
#include "backends/vulkan/memory.h"
#include "backends/vulkan/pipeline.h"
#include "backends/vulkan/record.h"
#include "tests/backends/vulkan/vulkan_support.h"

namespace sluice::vulkan {
namespace {

using testing::HasSubstr;

class VulkanDevice : public testing::Test {
 protected:
  void SetUp() override {
    auto device =
        Device::Create({.validate = true, .on_message = [this](const std::string& message) {
                          messages_.push_back(message);
                        }});
    if (!device.ok()) GTEST_SKIP() << device.status();
    device_ = *std::move(device);
  }
  void TearDown() override {
    device_.reset();
    EXPECT_THAT(messages_, testing::IsEmpty());
  }
  std::vector<std::string> messages_;
  std::unique_ptr<Device> device_;
};

TEST_F(VulkanDevice, IsListedWithWhatMatters) {
  auto devices = ListDevices();
  ASSERT_TRUE(devices.ok()) << devices.status();
  bool is_listed = false;
  for (const DeviceInfo& info : *devices) is_listed |= info.name == device_->info().name;
  EXPECT_TRUE(is_listed);
  EXPECT_EQ(device_->info().unusable, "");
  EXPECT_GE(device_->info().subgroup_size, 4u);
  EXPECT_GE(device_->info().max_binding_bytes, 1 << 27);  // what Vulkan promises
  EXPECT_GT(device_->info().memory_bytes, 0);
}

TEST_F(VulkanDevice, OneThatDoesNotExistIsAnError) {
  const auto device = Device::Create({.index = 99});
  EXPECT_EQ(device.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(device.status().message()), HasSubstr("no Vulkan device 99"));
}

TEST_F(VulkanDevice, MemoryThatCannotBeHadIsAStatusAndTheDeviceGoesOn) {
  constexpr int64_t kTooMuch = int64_t{1} << 50;
  const auto buffer = DeviceBuffer::Create(*device_, kTooMuch, MemoryKind::kDevice, "a cache");
  EXPECT_FALSE(buffer.ok());
  EXPECT_THAT(std::string(buffer.status().message()), HasSubstr("a cache"));
  messages_.clear();  // the layers, too, say that it is too much
  EXPECT_TRUE(DeviceBuffer::Create(*device_, 64, MemoryKind::kDevice, "small").ok());
}

TEST_F(VulkanDevice, DataComesBackAsItWent) {
  Transfer transfer(*device_);
  auto buffer = DeviceBuffer::Create(*device_, 1000, MemoryKind::kDevice, "test");
  ASSERT_TRUE(buffer.ok()) << buffer.status();
  ASSERT_TRUE(transfer.Zero(**buffer).ok());
  const std::vector<std::byte> data(100, std::byte{7});
  ASSERT_TRUE(transfer.Upload(data, **buffer, 300).ok());
  std::vector<std::byte> all(1000);
  ASSERT_TRUE(transfer.Download(**buffer, 0, absl::MakeSpan(all)).ok());
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(all[i], i >= 300 && i < 400 ? std::byte{7} : std::byte{0}) << i;
  }
}

TEST_F(VulkanDevice, PipelinesAreMadeOnce) {
  PipelineCache cache(*device_);
  const auto first = cache.Get("copy", {}, {1, 1, 1}), second = cache.Get("copy", {}, {1, 1, 1});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(*first, *second);
  EXPECT_THAT(std::string(cache.Get("no_such", {}, {1}).status().message()), HasSubstr("no_such"));
}

// That the other tests hear nothing means something only if a missing barrier is heard.
TEST_F(VulkanDevice, ValidationHearsAMissingBarrier) {
  auto buffer = DeviceBuffer::Create(*device_, 192, MemoryKind::kDevice, "test");
  ASSERT_TRUE(buffer.ok()) << buffer.status();
  const Locate locate = [&](const Span& span) { return Location{(*buffer)->get(), span.offset}; };
  const Span a = {.offset = 0, .bytes = 64}, b = {.offset = 64, .bytes = 64},
             c = {.offset = 128, .bytes = 64};
  std::vector<Command> commands = {{.is_copy = true, .bindings = {Reads(a), Writes(b)}},
                                   {.is_copy = true, .bindings = {Reads(b), Writes(c)}}};
  for (const bool has_barrier : {true, false}) {
    commands[1].barrier_before = has_barrier;
    auto recording = Recording::Create(*device_, commands);
    ASSERT_TRUE(recording.ok()) << recording.status();
    auto into = OneTimeCommands::Begin(*device_);
    ASSERT_TRUE(into.ok()) << into.status();
    recording->Record(0, commands.size(), locate, into->get());
    ASSERT_TRUE(into->Finish().ok());
    EXPECT_EQ(messages_.empty(), has_barrier);
    EXPECT_EQ(CheckHazards(commands).ok(), has_barrier);
  }
  messages_.clear();
}

TEST_F(VulkanDevice, ADispatchWithoutAPipelineCannotBeRecorded) {
  const auto recording = Recording::Create(*device_, {Command{}});
  EXPECT_EQ(recording.status().code(), absl::StatusCode::kInternal);
}

TEST(NoDriver, IsAStatusThatSaysWhereDriversComeFrom) {
  setenv("VK_ICD_FILENAMES", "/nonexistent", 1);  // what the loader asks for a list of drivers
  const auto devices = ListDevices();
  unsetenv("VK_ICD_FILENAMES");
  EXPECT_EQ(devices.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(devices.status().message()), HasSubstr("mesa-vulkan-drivers"));
}

TEST(GroupsFor, StaysWithinWhatEveryDeviceRuns) {
  EXPECT_EQ(GroupsFor(0, 256), 1);
  EXPECT_EQ(GroupsFor(257, 256), 2);
  EXPECT_EQ(GroupsFor(int64_t{1} << 40, 256), 65535);
}

}  // namespace
}  // namespace sluice::vulkan
