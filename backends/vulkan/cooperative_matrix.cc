#include "backends/vulkan/cooperative_matrix.h"

#include <algorithm>
#include <vector>

#include "absl/strings/string_view.h"
#include "backends/vulkan/shaders/matrices.inc"

namespace sluice::vulkan {
namespace {

bool HasExtension(VkPhysicalDevice device) {
  uint32_t count = 0;
  vkEnumerateDeviceExtensionProperties(device, nullptr, &count, nullptr);
  std::vector<VkExtensionProperties> extensions(count);
  vkEnumerateDeviceExtensionProperties(device, nullptr, &count, extensions.data());
  return std::any_of(extensions.begin(), extensions.end(), [](const VkExtensionProperties& e) {
    return absl::string_view(e.extensionName) == kCooperativeMatrixExtension;
  });
}

bool HasFeatures(VkPhysicalDevice device) {
  CooperativeMatrixFeatures matrix;
  VkPhysicalDeviceVulkan12Features v12 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &matrix};
  VkPhysicalDeviceFeatures2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                   .pNext = &v12};
  vkGetPhysicalDeviceFeatures2(device, &all);
  return matrix.cooperative_matrix == VK_TRUE && v12.shaderFloat16 == VK_TRUE &&
         v12.vulkanMemoryModel == VK_TRUE && v12.vulkanMemoryModelDeviceScope == VK_TRUE;
}

bool IsUsable(const CooperativeMatrixProperties& offer) {
  constexpr uint32_t kSubgroup = 3;  // of scopes
  using Offer = CooperativeMatrixProperties;
  return offer.a_type == Offer::kFloat16 && offer.b_type == Offer::kFloat16 &&
         offer.c_type == Offer::kFloat32 && offer.result_type == Offer::kFloat32 &&
         offer.scope == kSubgroup && STRIP % offer.m == 0 && STRIP % offer.n == 0 &&
         TILE_K % offer.k == 0 && offer.k % 4 == 0;
}

}  // namespace

MatrixShape ChooseMatrixShape(absl::Span<const CooperativeMatrixProperties> offered) {
  MatrixShape best;
  for (const CooperativeMatrixProperties& offer : offered) {
    const bool is_larger = offer.m * offer.n * offer.k > best.m * best.n * best.k;
    if (is_larger && IsUsable(offer)) best = {offer.m, offer.n, offer.k};
  }
  return best;
}

MatrixShape MatrixShapeOf(VkInstance instance, VkPhysicalDevice device) {
  if (!HasExtension(device) || !HasFeatures(device)) return {};
  using GetProperties =
      VkResult(VKAPI_PTR*)(VkPhysicalDevice, uint32_t*, CooperativeMatrixProperties*);
  const auto get = reinterpret_cast<GetProperties>(
      vkGetInstanceProcAddr(instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR"));
  uint32_t count = 0;
  if (get == nullptr || get(device, &count, nullptr) != VK_SUCCESS) return {};
  std::vector<CooperativeMatrixProperties> offered(count);
  if (get(device, &count, offered.data()) != VK_SUCCESS) return {};
  return ChooseMatrixShape(offered);
}

}  // namespace sluice::vulkan
