#include "backends/vulkan/device.h"

#include <algorithm>
#include <iterator>

#include "backends/vulkan/device_info.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

constexpr char kValidationLayer[] = "VK_LAYER_KHRONOS_validation";

VKAPI_ATTR VkBool32 VKAPI_CALL Hear(VkDebugUtilsMessageSeverityFlagBitsEXT,
                                    VkDebugUtilsMessageTypeFlagsEXT,
                                    const VkDebugUtilsMessengerCallbackDataEXT* data, void* user) {
  const auto& on_message = *static_cast<const OnMessage*>(user);
  if (on_message != nullptr) on_message(data->pMessage);
  return VK_FALSE;
}

VkDebugUtilsMessengerCreateInfoEXT MessengerInfo(OnMessage* on_message) {
  return {.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
          .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                             VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
          .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                         VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
          .pfnUserCallback = Hear,
          .pUserData = on_message};
}

// The version of Vulkan that the validation layer is for; 0 if there is none.
uint32_t ValidationVersion() {
  uint32_t count = 0;
  vkEnumerateInstanceLayerProperties(&count, nullptr);
  std::vector<VkLayerProperties> layers(count);
  vkEnumerateInstanceLayerProperties(&count, layers.data());
  for (const VkLayerProperties& layer : layers) {
    if (absl::string_view(layer.layerName) == kValidationLayer) return layer.specVersion;
  }
  return 0;
}

// The place of a device's type among all: lower is faster.
int Rank(const DeviceInfo& info) {
  constexpr absl::string_view kOrder[] = {"discrete", "integrated", "virtual", "other", "cpu"};
  return static_cast<int>(std::find(std::begin(kOrder), std::end(kOrder), info.type) - kOrder);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Device>> Device::Create(const DeviceOptions& options) {
  std::unique_ptr<Device> device(new Device());
  SLUICE_RETURN_IF_ERROR(device->Initialise(options));
  return device;
}

Device::~Device() {
  if (device_ != VK_NULL_HANDLE) vkDeviceWaitIdle(device_);
  timeline_ = {};
  pool_ = {};
  if (device_ != VK_NULL_HANDLE) vkDestroyDevice(device_, nullptr);
  if (messenger_ != VK_NULL_HANDLE) {
    const auto destroy = reinterpret_cast<PFN_vkDestroyDebugUtilsMessengerEXT>(
        vkGetInstanceProcAddr(instance_, "vkDestroyDebugUtilsMessengerEXT"));
    destroy(instance_, messenger_, nullptr);
  }
  if (instance_ != VK_NULL_HANDLE) vkDestroyInstance(instance_, nullptr);
}

absl::Status Device::Initialise(const DeviceOptions& options) {
  SLUICE_RETURN_IF_ERROR(CreateInstance(options));
  SLUICE_RETURN_IF_ERROR(Select(options.index));
  if (options.max_binding_bytes > 0) {
    info_.max_binding_bytes = std::min(info_.max_binding_bytes, options.max_binding_bytes);
  }
  const bool is_unknown = options.validate && ValidationVersion() < kCooperativeMatrixVersion;
  if (!options.cooperative_matrix || is_unknown) LeaveMatricesAlone();
  SLUICE_RETURN_IF_ERROR(CreateDevice());
  const VkCommandPoolCreateInfo pool_info = {
      .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
      .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
      .queueFamilyIndex = family_};
  VkCommandPool pool = VK_NULL_HANDLE;
  SLUICE_RETURN_IF_ERROR(Check(vkCreateCommandPool(device_, &pool_info, nullptr, &pool),
                               "cannot make a command pool"));
  pool_ = {device_, pool};
  const VkSemaphoreTypeCreateInfo type_info = {
      .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
      .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
  const VkSemaphoreCreateInfo semaphore_info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                                .pNext = &type_info};
  VkSemaphore timeline = VK_NULL_HANDLE;
  SLUICE_RETURN_IF_ERROR(Check(vkCreateSemaphore(device_, &semaphore_info, nullptr, &timeline),
                               "cannot make a timeline semaphore"));
  timeline_ = {device_, timeline};
  return absl::OkStatus();
}

absl::Status Device::CreateInstance(const DeviceOptions& options) {
  on_message_ = options.on_message;
  const VkDebugUtilsMessengerCreateInfoEXT messenger = MessengerInfo(&on_message_);
  const VkValidationFeatureEnableEXT enabled =
      VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
  const VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                            .pNext = &messenger,
                                            .enabledValidationFeatureCount = 1,
                                            .pEnabledValidationFeatures = &enabled};
  if (!options.validate) {
    SLUICE_ASSIGN_OR_RETURN(instance_, NewInstance({}, {}, nullptr));
    return absl::OkStatus();
  }
  if (ValidationVersion() == 0) {
    return absl::UnimplementedError(absl::StrCat("the Vulkan layer ", kValidationLayer,
                                                 " is not installed (vulkan-validationlayers)"));
  }
  SLUICE_ASSIGN_OR_RETURN(
      instance_, NewInstance({kValidationLayer}, {VK_EXT_DEBUG_UTILS_EXTENSION_NAME}, &features));
  const auto create = reinterpret_cast<PFN_vkCreateDebugUtilsMessengerEXT>(
      vkGetInstanceProcAddr(instance_, "vkCreateDebugUtilsMessengerEXT"));
  return Check(create(instance_, &messenger, nullptr, &messenger_), "cannot listen to validation");
}

absl::Status Device::Select(int index) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<VkPhysicalDevice> devices, PhysicalDevices(instance_));
  std::vector<DeviceInfo> infos;
  for (const VkPhysicalDevice device : devices) infos.push_back(InfoOf(instance_, device));
  if (index >= static_cast<int>(devices.size())) {
    return absl::NotFoundError(
        absl::StrCat("there is no Vulkan device ", index, ", expected 0 to ", devices.size() - 1));
  }
  if (index < 0) {
    index = 0;
    for (size_t i = 1; i < infos.size(); ++i) {
      const DeviceInfo& best = infos[static_cast<size_t>(index)];
      const bool is_better =
          infos[i].unusable.empty() && (!best.unusable.empty() || Rank(infos[i]) < Rank(best));
      if (is_better) index = static_cast<int>(i);
    }
  }
  info_ = infos[static_cast<size_t>(index)];
  physical_ = devices[static_cast<size_t>(index)];
  vkGetPhysicalDeviceMemoryProperties(physical_, &memory_);
  if (info_.unusable.empty()) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("the Vulkan device '", info_.name,
                                               "' cannot be used: it lacks ", info_.unusable));
}

void Device::LeaveMatricesAlone() {
  info_.matrix = {};
  std::erase(info_.features, kCooperativeMatrixFeature);
}

absl::Status Device::CreateDevice() {
  SLUICE_ASSIGN_OR_RETURN(family_, ComputeFamily(physical_));
  const float priority = 1;
  const VkDeviceQueueCreateInfo queue_info = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                              .queueFamilyIndex = family_,
                                              .queueCount = 1,
                                              .pQueuePriorities = &priority};
  const VkBool32 has_matrices = info_.matrix.exists() ? VK_TRUE : VK_FALSE;
  CooperativeMatrixFeatures matrix = {.cooperative_matrix = VK_TRUE};
  VkPhysicalDeviceVulkan13Features v13 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
      .pNext = has_matrices == VK_TRUE ? &matrix : nullptr,
      .computeFullSubgroups = VK_TRUE,
      .synchronization2 = VK_TRUE,
      .maintenance4 = VK_TRUE};
  VkPhysicalDeviceVulkan12Features v12 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
      .pNext = &v13,
      .shaderFloat16 = has_matrices,
      .timelineSemaphore = VK_TRUE,
      .vulkanMemoryModel = has_matrices,
      // Where the memory model is on, the atomics of all shaders need this, too.
      .vulkanMemoryModelDeviceScope = has_matrices};
  VkPhysicalDeviceVulkan11Features v11 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
      .pNext = &v12,
      .storageBuffer16BitAccess = VK_TRUE};
  const VkPhysicalDeviceFeatures core = {.shaderStorageBufferArrayDynamicIndexing = VK_TRUE};
  const char* const extension = kCooperativeMatrixExtension;
  const VkDeviceCreateInfo device_info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                          .pNext = &v11,
                                          .queueCreateInfoCount = 1,
                                          .pQueueCreateInfos = &queue_info,
                                          .enabledExtensionCount = has_matrices,
                                          .ppEnabledExtensionNames = &extension,
                                          .pEnabledFeatures = &core};
  SLUICE_RETURN_IF_ERROR(Check(vkCreateDevice(physical_, &device_info, nullptr, &device_),
                               "cannot open the Vulkan device '", info_.name, "'"));
  vkGetDeviceQueue(device_, family_, 0, &queue_);
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> Device::MemoryType(uint32_t allowed, VkMemoryPropertyFlags wanted,
                                            VkMemoryPropertyFlags preferred) const {
  for (const VkMemoryPropertyFlags flags : {wanted | preferred, wanted}) {
    for (uint32_t i = 0; i < memory_.memoryTypeCount; ++i) {
      if ((allowed >> i & 1) != 0 && (MemoryFlags(i) & flags) == flags) return i;
    }
  }
  return absl::NotFoundError(
      absl::StrCat("'", info_.name, "' has no memory with the properties ", absl::Hex(wanted)));
}

VkMemoryPropertyFlags Device::MemoryFlags(uint32_t type) const {
  return memory_.memoryTypes[type].propertyFlags;
}

absl::StatusOr<VkCommandBuffer> Device::NewCommands() const {
  const VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                            .commandPool = pool_.get(),
                                            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                            .commandBufferCount = 1};
  VkCommandBuffer commands = VK_NULL_HANDLE;
  SLUICE_RETURN_IF_ERROR(
      Check(vkAllocateCommandBuffers(device_, &info, &commands), "cannot make a command buffer"));
  return commands;
}

void Device::Free(VkCommandBuffer commands) const {
  vkFreeCommandBuffers(device_, pool_.get(), 1, &commands);
}

absl::StatusOr<uint64_t> Device::Submit(VkCommandBuffer commands) {
  const VkCommandBufferSubmitInfo command_info = {
      .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO, .commandBuffer = commands};
  const VkSemaphoreSubmitInfo signal = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO,
                                        .semaphore = timeline_.get(),
                                        .value = last_point_ + 1,
                                        .stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT};
  const VkSubmitInfo2 info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
                              .commandBufferInfoCount = 1,
                              .pCommandBufferInfos = &command_info,
                              .signalSemaphoreInfoCount = 1,
                              .pSignalSemaphoreInfos = &signal};
  SLUICE_RETURN_IF_ERROR(Check(vkQueueSubmit2(queue_, 1, &info, VK_NULL_HANDLE),
                               "cannot submit work to '", info_.name, "'"));
  return ++last_point_;
}

absl::Status Device::Wait(uint64_t point) const {
  const VkSemaphore semaphore = timeline_.get();
  const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                    .semaphoreCount = 1,
                                    .pSemaphores = &semaphore,
                                    .pValues = &point};
  return Check(vkWaitSemaphores(device_, &info, UINT64_MAX), "'", info_.name,
               "' did not finish its work");
}

}  // namespace sluice::vulkan
