// Pipelines from embedded shaders and specialisation constants, made on first use and shared by
// all executables of a backend.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backends/vulkan/device.h"

namespace sluice::vulkan {

// What every Vulkan device has.
inline constexpr uint32_t kPushConstantBytes = 128;

struct Pipeline {
  VkPipeline pipeline;
  VkPipelineLayout layout;
  VkDescriptorSetLayout set_layout;
  uint32_t buffers;
};

class PipelineCache {
 public:
  explicit PipelineCache(const Device& device) : device_(device) {}

  // `constants` are the specialisation constants 0, 1, ...; binding i is an array of `arrays[i]`
  // storage buffers. The pointer stays valid. Compiling may take the driver seconds.
  absl::StatusOr<const Pipeline*> Get(const std::string& shader,
                                      const std::vector<uint32_t>& constants,
                                      const std::vector<uint32_t>& arrays);

 private:
  struct Layout {
    SetLayoutHandle set;
    PipelineLayoutHandle pipeline;
  };
  struct Owned {
    PipelineHandle handle;
    Pipeline pipeline;
  };
  absl::StatusOr<const Layout*> LayoutFor(const std::vector<uint32_t>& arrays);

  const Device& device_;
  std::map<std::vector<uint32_t>, Layout> layouts_;  // by buffers in each binding
  std::map<std::pair<std::string, std::vector<uint32_t>>, Owned> pipelines_;
};

}  // namespace sluice::vulkan
