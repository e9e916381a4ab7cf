// What stands for devices.cc in a build without Vulkan.
#include "tools/commands.h"
#include "tools/engine/vulkan.h"
#include "tools/usage.h"

namespace sluice::tools {

void AddDevices(CLI::App& app, absl::Status* status) {
  CLI::App* command = app.add_subcommand(
      "devices", "List the devices that Vulkan can use (this build is without Vulkan)");
  AddExamples(command, {"devices    says how to build with Vulkan"});
  command->callback([status] { *status = MeasureVulkan(-1).status(); });
}

}  // namespace sluice::tools
