// The K formats' encoders for AVX2: the same bytes in half the time.
#include "graph/formats/quantize_families.h"

#if defined(__AVX2__)

#include "graph/formats/quantize_k_kernel.h"

namespace sluice {

absl::Span<const Quantizer> Avx2KQuantizers() {
  if (__builtin_cpu_supports("avx2")) return kKQuantizers;
  return {};
}

}  // namespace sluice

#else

namespace sluice {

absl::Span<const Quantizer> Avx2KQuantizers() { return {}; }

}  // namespace sluice

#endif
