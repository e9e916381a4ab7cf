// The K formats' encoders for any processor.
#include "graph/formats/quantize_k_kernel.h"

namespace sluice {

absl::Span<const Quantizer> PortableKQuantizers() { return kKQuantizers; }

}  // namespace sluice
