// All that a VectorIsa has, for vectors V as vector_math_kernel.h describes them.
#pragma once

#include "backends/cpu/kernels/attention_kernel.h"
#include "backends/cpu/kernels/dot_rows_kernel.h"
#include "backends/cpu/kernels/vector_math_kernel.h"

namespace sluice::cpu {

template <typename V>
constexpr VectorIsa VectorIsaOf(const char* name, const char* need = nullptr,
                                const char* second = nullptr, const char* third = nullptr) {
  return {name,
          {need, second, third},
          VectorMathOf<V>::Table(),
          DotRows<V, DType::kF32>,
          DotRows<V, DType::kF16>,
          DotRows<V, DType::kBF16>,
          Attend<V>};
}

}  // namespace sluice::cpu
