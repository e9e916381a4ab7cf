// Questions to the driver that come before a device is open.
#pragma once

#include <vulkan/vulkan.h>

#include <vector>

#include "absl/status/statusor.h"
#include "backends/vulkan/device.h"

namespace sluice::vulkan {

// One of DeviceInfo::features, and so of the capabilities that kernels are chosen by.
inline constexpr char kCooperativeMatrixFeature[] = "cooperative_matrix";

absl::StatusOr<VkInstance> NewInstance(const std::vector<const char*>& layers,
                                       const std::vector<const char*>& extensions,
                                       const void* next);
// At least one. NotFound if there is none.
absl::StatusOr<std::vector<VkPhysicalDevice>> PhysicalDevices(VkInstance instance);
DeviceInfo InfoOf(VkInstance instance, VkPhysicalDevice device);
// A family of queues that compute; one that does nothing else if there is one.
absl::StatusOr<uint32_t> ComputeFamily(VkPhysicalDevice device);

}  // namespace sluice::vulkan
