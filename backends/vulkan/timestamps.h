// Points in time on the device's own clock, taken between the commands of one buffer.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "backends/vulkan/device.h"

namespace sluice::vulkan {

class Timestamps {
 public:
  // Unimplemented where the queue has no clock.
  static absl::StatusOr<Timestamps> Create(const Device& device, uint32_t count);

  // To be recorded before the first of them in every run.
  void RecordReset(VkCommandBuffer into) const;
  // The i-th is taken when all commands before it are done.
  void Record(uint32_t i, VkCommandBuffer into) const;

  // Seconds from each to the next, `count` - 1 of them, once all commands are done. The result is
  // valid until the next call.
  absl::StatusOr<absl::Span<const double>> Intervals();

 private:
  Timestamps(const Device& device, uint32_t count)
      : device_(&device), ticks_(count), seconds_(count - 1) {}

  const Device* device_;
  QueryPoolHandle pool_;
  std::vector<uint64_t> ticks_;
  std::vector<double> seconds_;
};

}  // namespace sluice::vulkan
