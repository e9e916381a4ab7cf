#include "backends/vulkan/formats.h"

#include <algorithm>
#include <array>

#include "graph/formats/dequantize.h"

namespace sluice::vulkan {
namespace {

// In the order of shaders/quant.glsl.
constexpr std::array kNative = {DType::kF32,  DType::kF16,    DType::kBF16,  DType::kQ8_0,
                                DType::kQ4_0, DType::kQ4_1,   DType::kQ5_0,  DType::kQ5_1,
                                DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,  DType::kQ5_K,
                                DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS};

}  // namespace

bool IsNative(DType dtype) {
  return std::find(kNative.begin(), kNative.end(), dtype) != kNative.end();
}

DType StoredAs(DType dtype) {
  return IsNative(dtype) || !CanDequantize(dtype) ? dtype : DType::kF16;
}

uint32_t CacheFormat(DType dtype) {
  constexpr std::array kFormats = {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0};
  return static_cast<uint32_t>(std::find(kFormats.begin(), kFormats.end(), dtype) -
                               kFormats.begin());
}

uint32_t FormatNumber(DType dtype) {
  return static_cast<uint32_t>(std::find(kNative.begin(), kNative.end(), StoredAs(dtype)) -
                               kNative.begin());
}

}  // namespace sluice::vulkan
