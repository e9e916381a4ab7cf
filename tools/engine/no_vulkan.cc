// What stands for devices.cc in a build without Vulkan.
#include "tools/commands.h"
#include "tools/devices.h"

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

void AddDevices(CLI::App& app, absl::Status* status) {
  CLI::App* command = app.add_subcommand(
      "devices", "List the devices that Vulkan can use (this build is without Vulkan)");
  command->callback([status] { *status = NoVulkan(); });
}

}  // namespace sluice::tools
