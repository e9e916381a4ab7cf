#include "backends/vulkan/device_info.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_join.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

constexpr char kNoDriver[] =
    "no Vulkan driver was found; on Debian, mesa-vulkan-drivers has those of AMD, Intel and of the "
    "processor itself, and NVIDIA's come with its own";

// What the driver says of a device, chained for one call.
struct Properties {
  explicit Properties(VkPhysicalDevice device) {
    v11.pNext = &v12;
    v12.pNext = &v13;
    all.pNext = &v11;
    vkGetPhysicalDeviceProperties2(device, &all);
  }
  VkPhysicalDeviceVulkan13Properties v13 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES};
  VkPhysicalDeviceVulkan12Properties v12 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES};
  VkPhysicalDeviceVulkan11Properties v11 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES};
  VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
};

struct Features {
  explicit Features(VkPhysicalDevice device) {
    v11.pNext = &v12;
    v12.pNext = &v13;
    all.pNext = &v11;
    vkGetPhysicalDeviceFeatures2(device, &all);
  }
  VkPhysicalDeviceVulkan13Features v13 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES};
  VkPhysicalDeviceVulkan12Features v12 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
  VkPhysicalDeviceVulkan11Features v11 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES};
  VkPhysicalDeviceFeatures2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
};

std::string VersionText(uint32_t version) {
  return absl::StrCat(VK_API_VERSION_MAJOR(version), ".", VK_API_VERSION_MINOR(version), ".",
                      VK_API_VERSION_PATCH(version));
}

std::string TypeName(VkPhysicalDeviceType type) {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
      return "discrete";
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
      return "integrated";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
      return "virtual";
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
      return "cpu";
    default:
      return "other";
  }
}

// What our shaders and schedules rely on; the message lists all that is missing.
std::string Missing(const Properties& properties, const Features& features) {
  constexpr VkDeviceSize kAlignment = 64;  // of places in the memory plan
  constexpr uint32_t kLargestSubgroup = 64;
  const VkPhysicalDeviceLimits& limits = properties.all.properties.limits;
  std::vector<std::string> missing;
  const auto need = [&](bool is_there, absl::string_view what) {
    if (!is_there) missing.emplace_back(what);
  };
  need(features.all.features.shaderStorageBufferArrayDynamicIndexing,
       "shaderStorageBufferArrayDynamicIndexing");
  need(features.v11.storageBuffer16BitAccess, "storageBuffer16BitAccess");
  need(features.v12.timelineSemaphore, "timelineSemaphore");
  need(features.v13.synchronization2, "synchronization2");
  need(features.v13.maintenance4, "maintenance4");
  need(features.v13.computeFullSubgroups, "computeFullSubgroups");
  need(properties.v11.subgroupSupportedOperations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT,
       "subgroup arithmetic");
  need(properties.v13.maxSubgroupSize <= kLargestSubgroup, "subgroups of at most 64");
  need(limits.minStorageBufferOffsetAlignment <= kAlignment,
       "minStorageBufferOffsetAlignment of at most 64");
  return absl::StrJoin(missing, ", ");
}

std::vector<std::string> OptionalFeatures(const Features& features) {
  std::vector<std::string> names;
  const auto add = [&](VkBool32 is_there, const char* name) {
    if (is_there == VK_TRUE) names.emplace_back(name);
  };
  add(features.v12.shaderFloat16, "float16");
  add(features.v12.shaderInt8, "int8");
  add(features.v12.storageBuffer8BitAccess, "storage8");
  add(features.v12.bufferDeviceAddress, "buffer_address");
  add(features.v13.shaderIntegerDotProduct, "integer_dot");
  add(features.v13.subgroupSizeControl, "subgroup_size_control");
  return names;
}

int64_t DeviceMemory(VkPhysicalDevice device) {
  VkPhysicalDeviceMemoryProperties memory;
  vkGetPhysicalDeviceMemoryProperties(device, &memory);
  VkDeviceSize bytes = 0;
  for (uint32_t i = 0; i < memory.memoryHeapCount; ++i) {
    if ((memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0) {
      bytes = std::max(bytes, memory.memoryHeaps[i].size);
    }
  }
  return static_cast<int64_t>(bytes);
}

std::vector<VkQueueFamilyProperties> QueueFamilies(VkPhysicalDevice device) {
  uint32_t count = 0;
  vkGetPhysicalDeviceQueueFamilyProperties(device, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  vkGetPhysicalDeviceQueueFamilyProperties(device, &count, families.data());
  return families;
}

}  // namespace

absl::StatusOr<VkInstance> NewInstance(const std::vector<const char*>& layers,
                                       const std::vector<const char*>& extensions,
                                       const void* next) {
  const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                         .pApplicationName = "sluice",
                                         .apiVersion = VK_API_VERSION_1_3};
  const VkInstanceCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
      .pNext = next,
      .pApplicationInfo = &application,
      .enabledLayerCount = static_cast<uint32_t>(layers.size()),
      .ppEnabledLayerNames = layers.data(),
      .enabledExtensionCount = static_cast<uint32_t>(extensions.size()),
      .ppEnabledExtensionNames = extensions.data()};
  VkInstance instance = VK_NULL_HANDLE;
  const VkResult result = vkCreateInstance(&info, nullptr, &instance);
  if (result == VK_ERROR_INCOMPATIBLE_DRIVER) return absl::UnimplementedError(kNoDriver);
  SLUICE_RETURN_IF_ERROR(Check(result, "cannot start Vulkan 1.3"));
  return instance;
}

absl::StatusOr<std::vector<VkPhysicalDevice>> PhysicalDevices(VkInstance instance) {
  uint32_t count = 0;
  SLUICE_RETURN_IF_ERROR(Check(vkEnumeratePhysicalDevices(instance, &count, nullptr),
                               "cannot count the Vulkan devices"));
  std::vector<VkPhysicalDevice> devices(count);
  SLUICE_RETURN_IF_ERROR(Check(vkEnumeratePhysicalDevices(instance, &count, devices.data()),
                               "cannot list the Vulkan devices"));
  if (devices.empty()) return absl::UnimplementedError(kNoDriver);
  return devices;
}

absl::StatusOr<uint32_t> ComputeFamily(VkPhysicalDevice device) {
  const std::vector<VkQueueFamilyProperties> families = QueueFamilies(device);
  std::optional<uint32_t> found;
  for (uint32_t i = 0; i < families.size(); ++i) {
    if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) == 0) continue;
    if ((families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) == 0) return i;
    if (!found.has_value()) found = i;
  }
  if (found.has_value()) return *found;
  return absl::UnimplementedError("the device has no queue that computes");
}

DeviceInfo InfoOf(VkInstance instance, VkPhysicalDevice device) {
  const Properties properties(device);
  const VkPhysicalDeviceProperties& core = properties.all.properties;
  DeviceInfo info = {
      .name = core.deviceName,
      .type = TypeName(core.deviceType),
      .driver = absl::StrCat(properties.v12.driverName, " ", properties.v12.driverInfo),
      .api = VersionText(core.apiVersion),
      .memory_bytes = DeviceMemory(device),
      .max_binding_bytes = core.limits.maxStorageBufferRange,
      .max_allocation_bytes = static_cast<int64_t>(properties.v11.maxMemoryAllocationSize),
      .shared_bytes = core.limits.maxComputeSharedMemorySize,
      .subgroup_size = properties.v11.subgroupSize};
  const uint32_t* groups = core.limits.maxComputeWorkGroupCount;
  info.max_groups = std::min({groups[0], groups[1], groups[2]});
  if (const absl::StatusOr<uint32_t> family = ComputeFamily(device); family.ok()) {
    info.timestamp_bits = QueueFamilies(device)[*family].timestampValidBits;
    info.timestamp_seconds = double{core.limits.timestampPeriod} * 1e-9;
  }
  if (core.apiVersion < VK_API_VERSION_1_3) {
    info.unusable = absl::StrCat("Vulkan 1.3 (it has ", info.api, ")");
    return info;
  }
  const Features features(device);
  info.features = OptionalFeatures(features);
  info.matrix = MatrixShapeOf(instance, device);
  if (info.matrix.exists()) info.features.emplace_back(kCooperativeMatrixFeature);
  info.unusable = Missing(properties, features);
  return info;
}

absl::StatusOr<std::vector<DeviceInfo>> ListDevices() {
  SLUICE_ASSIGN_OR_RETURN(const VkInstance instance, NewInstance({}, {}, nullptr));
  const absl::StatusOr<std::vector<VkPhysicalDevice>> devices = PhysicalDevices(instance);
  std::vector<DeviceInfo> infos;
  if (devices.ok()) {
    for (const VkPhysicalDevice device : *devices) infos.push_back(InfoOf(instance, device));
  }
  vkDestroyInstance(instance, nullptr);
  if (!devices.ok()) return devices.status();
  return infos;
}

}  // namespace sluice::vulkan
