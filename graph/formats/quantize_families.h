// The encoders by family, for quantize.cc and for the test that compares instruction sets.
#pragma once

#include "absl/types/span.h"
#include "graph/dtype.h"
#include "graph/formats/quantize.h"

namespace sluice {

struct Quantizer {
  DType dtype;
  QuantizeFn encode;
};

// Q2_K to Q6_K; both give the same bytes.
absl::Span<const Quantizer> PortableKQuantizers();
absl::Span<const Quantizer> Avx2KQuantizers();  // empty where the machine has no AVX2

}  // namespace sluice
