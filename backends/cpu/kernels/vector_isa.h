// What the kernels that are no products of weights compute with: mathematics on rows of floats and
// attention, once per instruction set. The machine's is chosen at run time.
//
// Everything here is compiled for several instruction sets: no function that a linker could share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/kernels/attention_task.h"
#include "graph/dtype.h"

namespace sluice::proto {
class DeviceCaps;
}  // namespace sluice::proto

namespace sluice::cpu {

// Functions of rows of n floats. `y` may be one of the arguments.
struct VectorMath {
  // Within 2 units in the last place; below 2^-126 within 2^-149.
  void (*exp)(const float* x, int64_t n, float* y);
  void (*silu)(const float* x, int64_t n, float* y);
  void (*gelu_tanh)(const float* x, int64_t n, float* y);
  // y = act(gate) * y
  void (*silu_gate)(const float* gate, int64_t n, float* y);
  void (*gelu_tanh_gate)(const float* gate, int64_t n, float* y);
  void (*softmax)(const float* x, int64_t n, float* y);
  void (*add)(const float* a, const float* b, int64_t n, float* y);
  void (*mul)(const float* a, const float* b, int64_t n, float* y);
  void (*scale)(const float* x, float factor, int64_t n, float* y);
  // y += factor * x
  void (*add_scaled)(const float* x, float factor, int64_t n, float* y);
  // y = x / sqrt(mean of x^2 + eps) * weight, which may be null.
  void (*rms_norm)(const float* x, const float* weight, int64_t n, double eps, float* y);
  // y = (x - mean) / sqrt(variance + eps) * weight + bias, either of which may be null.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, int64_t n, double eps,
                     float* y);
  // The cosines and sines of position * inverse[i], times the magnitude. Angles are in float64: at
  // position 100,000 a float32 angle is off by 0.004 radians.
  void (*turns)(int32_t position, const double* inverse, float magnitude, int64_t pairs,
                float* cosines, float* sines);
  // Rotates the pairs (i, pairs + i).
  void (*rotate_halves)(const float* x, const float* cosines, const float* sines, int64_t pairs,
                        float* y);
  // Rotates the pairs (2i, 2i + 1). Cosines and sines stand twice, the first sine of each pair
  // negated.
  void (*rotate_pairs)(const float* x, const float* cosines, const float* sines, int64_t pairs,
                       float* y);
  // To nearest, ties to even, as QuantizerFor(kF16).
  void (*f16_from_f32)(const float* x, int64_t n, std::byte* y);
};

// y[i * y_stride + j] = weight row j . row i of x [x_rows, cols], for rows of weights that are
// `row_bytes` apart.
using DotRowsFn = void (*)(const std::byte* weights, int64_t row_bytes, int64_t rows, int64_t cols,
                           const float* x, int64_t x_rows, float* y, int64_t y_stride);
// Up to how many rows of x this beats a GEMM.
inline constexpr int64_t kMaxDotRows = 8;

struct VectorIsa {
  const char* name;
  const char* needs[3];  // features of DeviceCaps; null: none
  VectorMath math;
  DotRowsFn dot_f32, dot_f16, dot_bf16;  // by the weights' format
  void (*attend)(const AttentionTask& task);
};

// Null where the compiler's target is another family of processors.
extern const VectorIsa* const kVectorAvx512;
extern const VectorIsa* const kVectorAvx2;
extern const VectorIsa* const kVectorPortable;

// The fastest that the device's features allow.
const VectorIsa& VectorIsaFor(const proto::DeviceCaps& caps);

// Null for formats that are no plain floats.
DotRowsFn DotRowsFor(const VectorIsa& isa, DType weights);

}  // namespace sluice::cpu
