#include "tools/engine/vulkan.h"

#include "backends/vulkan/bandwidth.h"
#include "backends/vulkan/device.h"
#include "backends/vulkan/vulkan_backend.h"
#include "graph/status_macros.h"

namespace sluice::tools {

absl::StatusOr<std::unique_ptr<Backend>> MakeVulkan(int device, bool coopmat) {
  return MakeVulkanBackend({.index = device, .cooperative_matrix = coopmat});
}

absl::StatusOr<double> MeasureVulkan(int device) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<vulkan::Device> opened,
                          vulkan::Device::Create({.index = device}));
  return vulkan::MeasureCopyBandwidth(*opened);
}

}  // namespace sluice::tools
