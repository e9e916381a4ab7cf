// From a schedule to a command buffer: descriptor sets for its dispatches, and the recording.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "backends/vulkan/device.h"
#include "backends/vulkan/schedule.h"

namespace sluice::vulkan {

// Where a span lies.
struct Location {
  VkBuffer buffer = VK_NULL_HANDLE;
  int64_t offset = 0;
};
using Locate = std::function<Location(const Span& span)>;

// A list of commands with one descriptor set for each dispatch, each binding exactly the bytes that
// the command declares. `commands` outlives it.
class Recording {
 public:
  static absl::StatusOr<Recording> Create(const Device& device, absl::Span<const Command> commands);

  // Points every set at memory. Nothing that was recorded with the sets may be running; what was
  // must be recorded again.
  void Bind(const Locate& locate);

  // Appends commands begin .. end - 1 to a command buffer that has begun.
  void Record(size_t begin, size_t end, const Locate& locate, VkCommandBuffer into) const;

  size_t size() const { return commands_.size(); }
  const Command& command(size_t i) const { return commands_[i]; }

 private:
  Recording(const Device& device, absl::Span<const Command> commands)
      : device_(&device), commands_(commands) {}

  const Device* device_;
  absl::Span<const Command> commands_;
  DescriptorPoolHandle pool_;
  std::vector<VkDescriptorSet> sets_;  // null for copies
};

// Makes all that was written visible to the host.
void RecordHostBarrier(VkCommandBuffer into);

}  // namespace sluice::vulkan
