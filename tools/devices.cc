// sluice devices: the Vulkan devices of this machine, and what matters of them.
#include <iostream>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "backends/vulkan/device.h"
#include "backends/vulkan/vulkan_backend.h"
#include "graph/status_macros.h"
#include "tools/commands.h"
#include "tools/devices.h"

namespace sluice::tools {
namespace {

std::string Describe(const vulkan::DeviceInfo& info) {
  constexpr int64_t kMiB = 1 << 20;
  std::string text = absl::StrFormat("%s (%s)\n  driver %s, Vulkan %s\n", info.name, info.type,
                                     info.driver, info.api);
  absl::StrAppendFormat(&text, "  memory %d MiB, one allocation %d MiB, one binding %d MiB\n",
                        info.memory_bytes / kMiB, info.max_allocation_bytes / kMiB,
                        info.max_binding_bytes / kMiB);
  absl::StrAppendFormat(&text, "  subgroups of %d, %d KiB of memory in a workgroup\n",
                        info.subgroup_size, info.shared_bytes / 1024);
  absl::StrAppendFormat(&text, "  features %s\n", absl::StrJoin(info.features, " "));
  if (!info.unusable.empty())
    absl::StrAppendFormat(&text, "  not usable: lacks %s\n", info.unusable);
  return text;
}

absl::Status Devices() {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<vulkan::DeviceInfo> devices, vulkan::ListDevices());
  for (size_t i = 0; i < devices.size(); ++i) std::cout << i << ": " << Describe(devices[i]);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> MakeVulkan(int device) {
  return MakeVulkanBackend({.index = device});
}

void AddDevices(CLI::App& app, absl::Status* status) {
  CLI::App* command = app.add_subcommand("devices", "List the devices that Vulkan can use");
  command->callback([status] { *status = Devices(); });
}

}  // namespace sluice::tools
