// Vulkan devices, in builds with and without Vulkan (SLUICE_VULKAN in CMakeLists.txt).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "backends/backend.h"

namespace sluice::tools {

// Device `device` as `sluice devices` counts, -1: the best; with its cooperative matrices, if it
// has any and `coopmat` says so. Errors: Vulkan's, or Unimplemented that says how to build with it.
absl::StatusOr<std::unique_ptr<Backend>> MakeVulkan(int device, bool coopmat);

// Bytes a second that it reads and writes when it copies in its memory.
absl::StatusOr<double> MeasureVulkan(int device);

}  // namespace sluice::tools
