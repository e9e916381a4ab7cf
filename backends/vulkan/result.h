// VkResult as absl::Status, and the owners of Vulkan's objects.
#pragma once

#include <vulkan/vulkan.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sluice::vulkan {

// OK for VK_SUCCESS; otherwise "<what>: <what the result means>", with the code that fits: no
// memory is ResourceExhausted, a lost device Unavailable, what the driver lacks Unimplemented.
absl::Status ResultStatus(VkResult result, absl::string_view what);

// `what` is put together only where it is needed.
template <typename... What>
absl::Status Check(VkResult result, const What&... what) {
  if (result == VK_SUCCESS) return absl::OkStatus();
  return ResultStatus(result, absl::StrCat(what...));
}

// Owns an object of a device that is destroyed by `kDestroy(device, object, nullptr)`.
template <typename T, auto kDestroy>
class Handle {
 public:
  Handle() = default;
  Handle(VkDevice device, T object) : device_(device), object_(object) {}
  Handle(Handle&& other) noexcept
      : device_(other.device_), object_(std::exchange(other.object_, VK_NULL_HANDLE)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(object_, other.object_);
    return *this;
  }
  ~Handle() {
    if (object_ != VK_NULL_HANDLE) kDestroy(device_, object_, nullptr);
  }
  T get() const { return object_; }

 private:
  VkDevice device_ = VK_NULL_HANDLE;
  T object_ = VK_NULL_HANDLE;
};

using BufferHandle = Handle<VkBuffer, vkDestroyBuffer>;
using MemoryHandle = Handle<VkDeviceMemory, vkFreeMemory>;
using SemaphoreHandle = Handle<VkSemaphore, vkDestroySemaphore>;
using CommandPoolHandle = Handle<VkCommandPool, vkDestroyCommandPool>;
using SetLayoutHandle = Handle<VkDescriptorSetLayout, vkDestroyDescriptorSetLayout>;
using DescriptorPoolHandle = Handle<VkDescriptorPool, vkDestroyDescriptorPool>;
using ShaderModuleHandle = Handle<VkShaderModule, vkDestroyShaderModule>;
using QueryPoolHandle = Handle<VkQueryPool, vkDestroyQueryPool>;
using PipelineLayoutHandle = Handle<VkPipelineLayout, vkDestroyPipelineLayout>;
using PipelineHandle = Handle<VkPipeline, vkDestroyPipeline>;

}  // namespace sluice::vulkan
