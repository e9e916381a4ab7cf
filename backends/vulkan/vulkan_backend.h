// The Vulkan backend: a graph as compute pipelines, recorded once and replayed.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "backends/backend.h"
#include "backends/vulkan/device.h"

namespace sluice {

// Errors: no driver, no such device, or one that lacks what is needed; the message says what.
absl::StatusOr<std::unique_ptr<Backend>> MakeVulkanBackend(
    const vulkan::DeviceOptions& options = {});

}  // namespace sluice
