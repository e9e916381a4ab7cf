// What a device's memory can do at most: the figure that kernels are compared with.
#pragma once

#include "absl/status/statusor.h"
#include "backends/vulkan/device.h"

namespace sluice::vulkan {

// Bytes a second that copies between two large buffers on the device read and write together, by
// its own clock: the best of a few. Errors: no memory for the buffers, or no clock.
absl::StatusOr<double> MeasureCopyBandwidth(Device& device);

}  // namespace sluice::vulkan
