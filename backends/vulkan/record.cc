#include "backends/vulkan/record.h"

#include <algorithm>

#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

constexpr VkPipelineStageFlags2 kWork =
    VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_COPY_BIT;
constexpr VkAccessFlags2 kWrites =
    VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT;
constexpr VkAccessFlags2 kReads =
    VK_ACCESS_2_SHADER_STORAGE_READ_BIT | VK_ACCESS_2_TRANSFER_READ_BIT;

// One barrier for all memory: on the devices there are, it costs what one for a buffer does.
void RecordBarrier(VkPipelineStageFlags2 stages, VkAccessFlags2 accesses, VkCommandBuffer into) {
  const VkMemoryBarrier2 barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
                                    .srcStageMask = kWork,
                                    .srcAccessMask = kWrites,
                                    .dstStageMask = stages,
                                    .dstAccessMask = accesses};
  const VkDependencyInfo info = {.sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO,
                                 .memoryBarrierCount = 1,
                                 .pMemoryBarriers = &barrier};
  vkCmdPipelineBarrier2(into, &info);
}

void RecordCopy(const Command& command, const Locate& locate, VkCommandBuffer into) {
  const Location from = locate(command.bindings[0].span), to = locate(command.bindings[1].span);
  const VkBufferCopy region = {.srcOffset = static_cast<VkDeviceSize>(from.offset),
                               .dstOffset = static_cast<VkDeviceSize>(to.offset),
                               .size = static_cast<VkDeviceSize>(command.bindings[1].span.bytes)};
  vkCmdCopyBuffer(into, from.buffer, to.buffer, 1, &region);
}

}  // namespace

absl::StatusOr<Recording> Recording::Create(const Device& device,
                                            absl::Span<const Command> commands) {
  Recording result(device, commands);
  result.sets_.resize(commands.size(), VK_NULL_HANDLE);
  uint32_t sets = 0, buffers = 0;
  for (const Command& command : commands) {
    if (command.is_copy) continue;
    if (command.pipeline == nullptr) {
      return absl::InternalError(
          "a dispatch has no pipeline: its schedule is only to be looked at");
    }
    ++sets;
    buffers += command.pipeline->buffers;
  }
  if (sets == 0) return result;
  const VkDescriptorPoolSize size = {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                     .descriptorCount = buffers};
  const VkDescriptorPoolCreateInfo pool_info = {
      .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
      .maxSets = sets,
      .poolSizeCount = 1,
      .pPoolSizes = &size};
  VkDescriptorPool pool = VK_NULL_HANDLE;
  SLUICE_RETURN_IF_ERROR(Check(vkCreateDescriptorPool(device.get(), &pool_info, nullptr, &pool),
                               "cannot make a pool of ", sets, " descriptor sets"));
  result.pool_ = {device.get(), pool};
  for (size_t i = 0; i < commands.size(); ++i) {
    if (commands[i].is_copy) continue;
    const VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = pool,
        .descriptorSetCount = 1,
        .pSetLayouts = &commands[i].pipeline->set_layout};
    SLUICE_RETURN_IF_ERROR(Check(vkAllocateDescriptorSets(device.get(), &info, &result.sets_[i]),
                                 "cannot make descriptor set ", i, " of ", sets));
  }
  return result;
}

void Recording::Bind(const Locate& locate) {
  for (size_t i = 0; i < commands_.size(); ++i) {
    if (sets_[i] == VK_NULL_HANDLE) continue;
    // One write goes on from the last element of a binding to the first of the next.
    const std::vector<Binding>& bindings = commands_[i].bindings;
    std::vector<VkDescriptorBufferInfo> buffers;
    for (const Binding& binding : bindings) {
      const Location location = locate(binding.span);
      buffers.push_back({.buffer = location.buffer,
                         .offset = static_cast<VkDeviceSize>(location.offset),
                         .range = static_cast<VkDeviceSize>(binding.span.bytes)});
    }
    const VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                        .dstSet = sets_[i],
                                        .descriptorCount = static_cast<uint32_t>(buffers.size()),
                                        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                        .pBufferInfo = buffers.data()};
    vkUpdateDescriptorSets(device_->get(), 1, &write, 0, nullptr);
  }
}

void Recording::Record(size_t begin, size_t end, const Locate& locate, VkCommandBuffer into) const {
  for (size_t i = begin; i < end; ++i) {
    const Command& command = commands_[i];
    if (command.barrier_before) RecordBarrier(kWork, kReads | kWrites, into);
    if (command.is_copy) {
      RecordCopy(command, locate, into);
      continue;
    }
    vkCmdBindPipeline(into, VK_PIPELINE_BIND_POINT_COMPUTE, command.pipeline->pipeline);
    vkCmdBindDescriptorSets(into, VK_PIPELINE_BIND_POINT_COMPUTE, command.pipeline->layout, 0, 1,
                            &sets_[i], 0, nullptr);
    vkCmdPushConstants(into, command.pipeline->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                       static_cast<uint32_t>(command.push.size() * sizeof(uint32_t)),
                       command.push.data());
    vkCmdDispatch(into, command.groups[0], command.groups[1], command.groups[2]);
  }
}

void RecordHostBarrier(VkCommandBuffer into) {
  RecordBarrier(VK_PIPELINE_STAGE_2_HOST_BIT, VK_ACCESS_2_HOST_READ_BIT, into);
}

}  // namespace sluice::vulkan
