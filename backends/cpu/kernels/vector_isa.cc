#include "backends/cpu/kernels/vector_isa.h"

#include "backends/cpu/features.h"

namespace sluice::cpu {
const VectorIsa& VectorIsaFor(const proto::DeviceCaps& caps) {
  for (const VectorIsa* isa : {kVectorAvx512, kVectorAvx2}) {
    if (isa != nullptr && HasFeatures(caps, isa->needs)) return *isa;
  }
  return *kVectorPortable;
}

DotRowsFn DotRowsFor(const VectorIsa& isa, DType weights) {
  if (weights == DType::kF32) return isa.dot_f32;
  if (weights == DType::kF16) return isa.dot_f16;
  return weights == DType::kBF16 ? isa.dot_bf16 : nullptr;
}

}  // namespace sluice::cpu
