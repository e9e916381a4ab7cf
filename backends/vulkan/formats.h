// In which formats weights and caches lie on the device.
#pragma once

#include <cstdint>

#include "graph/graph.h"
#include "graph/type.h"

namespace sluice::vulkan {

// Formats that shaders decode (shaders/quant_<name>.glsl).
bool IsNative(DType dtype);

// The format that a weight has on the device: its own if shaders decode it or if it is no matrix;
// otherwise f16, into which it is decoded when the model is loaded.
DType StoredAs(DType dtype);

// The number of that format, and that of a KV cache's format, in shaders/formats.inc.
uint32_t FormatNumber(DType dtype);
uint32_t CacheFormat(DType dtype);

}  // namespace sluice::vulkan
