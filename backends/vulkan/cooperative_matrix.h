// VK_KHR_cooperative_matrix: products of small matrices that a subgroup computes together. Declared
// here, because headers from before Vulkan 1.3.255 do not know it.
#pragma once

#include <vulkan/vulkan.h>

#include <cstdint>

#include "absl/types/span.h"

namespace sluice::vulkan {

inline constexpr char kCooperativeMatrixExtension[] = "VK_KHR_cooperative_matrix";
// Validation layers from before this version take the extension's use for an error.
inline constexpr uint32_t kCooperativeMatrixVersion = VK_MAKE_API_VERSION(0, 1, 3, 255);

// m by k times k by n; all 0: none.
struct MatrixShape {
  uint32_t m = 0, n = 0, k = 0;
  bool exists() const { return m != 0; }
};

// The structures as the driver knows them.
struct CooperativeMatrixFeatures {
  VkStructureType sType = static_cast<VkStructureType>(1000506000);
  void* pNext = nullptr;
  VkBool32 cooperative_matrix = VK_FALSE;
  VkBool32 robust_buffer_access = VK_FALSE;
};
struct CooperativeMatrixProperties {
  static constexpr uint32_t kFloat16 = 0, kFloat32 = 1;  // of the four types
  VkStructureType sType = static_cast<VkStructureType>(1000506001);
  void* pNext = nullptr;
  uint32_t m = 0, n = 0, k = 0;
  uint32_t a_type = 0, b_type = 0, c_type = 0, result_type = 0;
  VkBool32 is_saturating = VK_FALSE;
  uint32_t scope = 0;
};

// Of what a device offers, what shaders/matmul_coopmat.comp takes: float16 times float16 with sums
// in float32 by subgroups, the largest that divides its tile.
MatrixShape ChooseMatrixShape(absl::Span<const CooperativeMatrixProperties> offered);

// The same of a device; none if it lacks the extension or what the shader needs beside it.
MatrixShape MatrixShapeOf(VkInstance instance, VkPhysicalDevice device);

}  // namespace sluice::vulkan
