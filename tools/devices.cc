// sluice devices: the Vulkan devices of this machine, and what matters of them.
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "backends/vulkan/device.h"
#include "graph/status_macros.h"
#include "tools/commands.h"
#include "tools/engine/vulkan.h"
#include "tools/usage.h"

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
  if (const auto& [m, n, k] = info.matrix; info.matrix.exists()) {
    absl::StrAppendFormat(&text, "  cooperative matrices of %d by %d by %d\n", m, n, k);
  }
  if (!info.unusable.empty()) {
    absl::StrAppendFormat(&text, "  not usable: lacks %s\n", info.unusable);
  }
  return text;
}

using Json = nlohmann::ordered_json;

Json JsonOf(const vulkan::DeviceInfo& info) {
  return {{"name", info.name},
          {"type", info.type},
          {"driver", info.driver},
          {"vulkan", info.api},
          {"memory_bytes", info.memory_bytes},
          {"max_allocation_bytes", info.max_allocation_bytes},
          {"max_binding_bytes", info.max_binding_bytes},
          {"subgroup_size", info.subgroup_size},
          {"workgroup_bytes", info.shared_bytes},
          {"features", info.features},
          {"cooperative_matrix", {info.matrix.m, info.matrix.n, info.matrix.k}},
          {"lacks", info.unusable}};
}

struct DevicesCommand {
  bool measure = false;
  std::string format = "text";
};

absl::Status Devices(const DevicesCommand& command) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<vulkan::DeviceInfo> devices, vulkan::ListDevices());
  Json json = Json::array();
  std::string text;
  for (size_t i = 0; i < devices.size(); ++i) {
    json.push_back(JsonOf(devices[i]));
    absl::StrAppend(&text, i, ": ", Describe(devices[i]));
    if (!command.measure || !devices[i].unusable.empty()) continue;
    SLUICE_ASSIGN_OR_RETURN(const double bandwidth, MeasureVulkan(static_cast<int>(i)));
    json.back()["copy_bytes_per_second"] = bandwidth;
    absl::StrAppendFormat(&text, "  copies %.1f GB/s, read and written\n", bandwidth / 1e9);
  }
  std::cout << (command.format == "json" ? json.dump(2) + "\n" : text);
  return absl::OkStatus();
}

}  // namespace

void AddDevices(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<DevicesCommand>();
  CLI::App* command = app.add_subcommand("devices", "List the devices that Vulkan can use");
  command->add_flag("--measure", options->measure,
                    "also copy 256 MiB on each, to see how fast its memory is");
  command->add_option("--format", options->format, "text or json")
      ->check(OneOf({"text", "json"}))
      ->capture_default_str();
  AddExamples(command, {"devices                        what --backend vulkan can use",
                        "devices --measure --format json  with the speed of each one's memory"});
  command->callback([options, status] { *status = Devices(*options); });
}

}  // namespace sluice::tools
