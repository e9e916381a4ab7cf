// Element by element: what the families share.
#pragma once

#include <cstdint>
#include <string>

#include "backends/vulkan/lowering.h"
#include "backends/vulkan/shaders/elementwise.inc"

namespace sluice::vulkan {

enum class Elementwise : uint32_t {
  kAdd = elementwise::ADD,
  kMul = elementwise::MUL,
  kScale = elementwise::SCALE,
  kSilu = elementwise::SILU,
  kGeluTanh = elementwise::GELU_TANH,
  kGeluErf = elementwise::GELU_ERF,
};

// y[i] = op(a[i], b[i % period]); b and the period are ignored where the operation has one operand.
struct ElementwiseCall {
  Elementwise op;
  Span a, b, y;
  Size count, period;
  float factor = 1;
};
absl::Status AddElementwise(const ElementwiseCall& call, Lowering& out);

}  // namespace sluice::vulkan
