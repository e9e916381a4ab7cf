// What stands for vulkan.cc in a build without Vulkan.
#include "tools/engine/vulkan.h"

namespace sluice::tools {
namespace {

absl::Status NoVulkan() {
  return absl::UnimplementedError(
      "this build is without Vulkan: apt-get install libvulkan-dev glslang-tools, then cmake "
      "--preset release -DSLUICE_VULKAN=ON and ninja -C build/release");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> MakeVulkan(int /*device*/, bool /*coopmat*/) {
  return NoVulkan();
}

absl::StatusOr<double> MeasureVulkan(int /*device*/) { return NoVulkan(); }

}  // namespace sluice::tools
