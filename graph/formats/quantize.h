// Weights for tools that make model files, tests and benchmarks: float32 in, blocks out, and blocks
// of random weights in any format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "graph/dtype.h"

namespace sluice {

// Encodes `elements` finite values (a multiple of the format's block size) into `blocks`, at any
// address. The bytes are those of ggml's reference quantisers (quantize_row_*_ref):
//   f16, bf16   to nearest, ties to even
//   q8_0        step max |x| / 127, quants to nearest, ties away from zero
//   q4_0, q5_0  step x / -8 or x / -16 for the x of largest magnitude, which is thus the lowest
//               quant; the others to nearest, ties up, clamped to the highest
//   q4_1, q5_1  the range min .. max in 15 or 31 steps, quants to nearest, ties up
//   q2_k .. q6_k  a search for the scales of least weighted error (quantize_search.h); where a
//               group's scale rounds to zero, its quants, which mean nothing, are zero here
// Scales and mins are stored as f16: a block whose scale lies beyond 65504 decodes to infinities,
// one whose scale lies below 2^-25 to zeros (or its min).
using QuantizeFn = void (*)(const float* values, int64_t elements, std::byte* blocks);

// nullptr where there is no encoder.
QuantizeFn QuantizerFor(DType dtype);

// Fills `blocks` (whole blocks) with random weights of mean 0 and a standard deviation of about
// `scale`, which must lie in 1e-3 .. 1e4 (nvfp4: .. 800). Plain floats are bell-shaped. In block
// formats every quant and sub-scale is uniform over its bits; f16 scales differ from block to
// block, and are negative as often as positive in the formats without a min; scales of 8 bits
// (mxfp4, nvfp4) are positive. Works for every format that has a dequantizer; the same arguments
// give the same bytes on every machine.
absl::Status FillRandomBlocks(DType dtype, uint64_t seed, float scale,
                              absl::Span<std::byte> blocks);

// The same for `elements` values, a multiple of the block size.
absl::StatusOr<std::vector<std::byte>> RandomBlocks(DType dtype, int64_t elements, uint64_t seed,
                                                    float scale);

}  // namespace sluice
