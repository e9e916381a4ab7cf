#include "backends/vulkan/formats.h"

#include <algorithm>
#include <iterator>

#include "graph/formats/dequantize.h"

namespace sluice::vulkan {
namespace {

struct Format {
  DType dtype;
  uint32_t number;
};
constexpr Format kNative[] = {
#define FORMAT(name, number) {DType::k##name, number},
#include "backends/vulkan/shaders/formats.inc"
#undef FORMAT
};

// nullptr if shaders do not decode it.
const Format* Find(DType dtype) {
  const auto* const found =
      std::find_if(std::begin(kNative), std::end(kNative),
                   [dtype](const Format& format) { return format.dtype == dtype; });
  return found != std::end(kNative) ? found : nullptr;
}

}  // namespace

bool IsNative(DType dtype) { return Find(dtype) != nullptr; }

DType StoredAs(DType dtype) {
  return IsNative(dtype) || !CanDequantize(dtype) ? dtype : DType::kF16;
}

uint32_t FormatNumber(DType dtype) { return Find(StoredAs(dtype))->number; }
uint32_t CacheFormat(DType dtype) { return Find(dtype)->number; }

}  // namespace sluice::vulkan
