// The meaning of every weight format: blocks in, float32 out.
//
// This is the reference decoding that everything else is compared with. Results are bit-exact with
// ggml's `to_float` functions (see tests/data/dequant). Plain, portable C++ in loops that compilers
// vectorise; decoders for one instruction set belong to the backends. The layouts are in blocks.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "graph/dtype.h"

namespace sluice {

// Decodes `elements` values (a multiple of the format's block size) from `blocks`, at any address,
// into `out`. The two do not overlap.
using DequantizeFn = void (*)(const std::byte* blocks, int64_t elements, float* out);

// nullptr where the dtype is no format of weights: integers, f64, and the blocks of activations
// (q8_1, q8_k).
DequantizeFn DequantizerFor(DType dtype);
inline bool CanDequantize(DType dtype) { return DequantizerFor(dtype) != nullptr; }

}  // namespace sluice
