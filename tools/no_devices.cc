// What stands for devices.cc in a build without Vulkan.
#include "tools/commands.h"
#include "tools/engine/vulkan.h"

namespace sluice::tools {

void AddDevices(CLI::App& app, absl::Status* status) {
  CLI::App* command = app.add_subcommand(
      "devices", "List the devices that Vulkan can use (this build is without Vulkan)");
  command->callback([status] { *status = MeasureVulkan(-1).status(); });
}

}  // namespace sluice::tools
