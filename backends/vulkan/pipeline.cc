#include "backends/vulkan/pipeline.h"

#include <numeric>

#include "backends/vulkan/spirv.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {

absl::StatusOr<const PipelineCache::Layout*> PipelineCache::LayoutFor(
    const std::vector<uint32_t>& arrays) {
  const auto known = layouts_.find(arrays);
  if (known != layouts_.end()) return &known->second;
  std::vector<VkDescriptorSetLayoutBinding> entries;
  for (uint32_t i = 0; i < arrays.size(); ++i) {
    entries.push_back({.binding = i,
                       .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                       .descriptorCount = arrays[i],
                       .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT});
  }
  const VkDescriptorSetLayoutCreateInfo set_info = {
      .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
      .bindingCount = static_cast<uint32_t>(arrays.size()),
      .pBindings = entries.data()};
  VkDescriptorSetLayout set = VK_NULL_HANDLE;
  SLUICE_RETURN_IF_ERROR(Check(vkCreateDescriptorSetLayout(device_.get(), &set_info, nullptr, &set),
                               "cannot make a layout of ", arrays.size(), " bindings"));
  Layout layout = {.set = {device_.get(), set}, .pipeline = {}};
  const VkPushConstantRange range = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
                                     .size = kPushConstantBytes};
  const VkPipelineLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                           .setLayoutCount = 1,
                                           .pSetLayouts = &set,
                                           .pushConstantRangeCount = 1,
                                           .pPushConstantRanges = &range};
  VkPipelineLayout pipeline = VK_NULL_HANDLE;
  SLUICE_RETURN_IF_ERROR(Check(vkCreatePipelineLayout(device_.get(), &info, nullptr, &pipeline),
                               "cannot make a pipeline layout"));
  layout.pipeline = {device_.get(), pipeline};
  return &layouts_.emplace(arrays, std::move(layout)).first->second;
}

absl::StatusOr<const Pipeline*> PipelineCache::Get(const std::string& shader,
                                                   const std::vector<uint32_t>& constants,
                                                   const std::vector<uint32_t>& arrays) {
  const auto key = std::make_pair(shader, constants);
  const auto known = pipelines_.find(key);
  if (known != pipelines_.end()) return &known->second.pipeline;
  const absl::Span<const uint32_t> words = FindShader(shader);
  if (words.empty()) return absl::InternalError(absl::StrCat("there is no shader '", shader, "'"));
  SLUICE_ASSIGN_OR_RETURN(const Layout* layout, LayoutFor(arrays));

  const VkShaderModuleCreateInfo module_info = {
      .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
      .codeSize = words.size() * sizeof(uint32_t),
      .pCode = words.data()};
  VkShaderModule module = VK_NULL_HANDLE;
  SLUICE_RETURN_IF_ERROR(Check(vkCreateShaderModule(device_.get(), &module_info, nullptr, &module),
                               "cannot load the shader '", shader, "'"));
  const ShaderModuleHandle owned_module(device_.get(), module);
  std::vector<VkSpecializationMapEntry> entries;
  for (uint32_t i = 0; i < constants.size(); ++i) {
    entries.push_back({.constantID = i,
                       .offset = i * static_cast<uint32_t>(sizeof(uint32_t)),
                       .size = sizeof(uint32_t)});
  }
  const VkSpecializationInfo specialisation = {
      .mapEntryCount = static_cast<uint32_t>(entries.size()),
      .pMapEntries = entries.data(),
      .dataSize = constants.size() * sizeof(uint32_t),
      .pData = constants.data()};
  const VkComputePipelineCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
      .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                .flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT,
                .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                .module = module,
                .pName = "main",
                .pSpecializationInfo = &specialisation},
      .layout = layout->pipeline.get()};
  VkPipeline pipeline = VK_NULL_HANDLE;
  SLUICE_RETURN_IF_ERROR(
      Check(vkCreateComputePipelines(device_.get(), VK_NULL_HANDLE, 1, &info, nullptr, &pipeline),
            "'", device_.info().name, "' cannot compile the shader '", shader, "'"));
  Owned& owned = pipelines_[key];
  owned.handle = {device_.get(), pipeline};
  owned.pipeline = {pipeline, layout->pipeline.get(), layout->set.get(),
                    std::accumulate(arrays.begin(), arrays.end(), 0U)};
  return &owned.pipeline;
}

}  // namespace sluice::vulkan
