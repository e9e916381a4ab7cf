// All that the project takes from oneDNN, behind two functions; oneDNN 2.6 and 3.x have it alike.
//
// The GEMM function rather than matmul primitives: it is the same JIT kernel (measured within 3%
// from 128 rows on, and up to 2x faster at one row), it takes any shape without a primitive per
// row count, and it needs no version switch.
#pragma once

#include <cstdint>

namespace sluice::cpu {

// Products of row-major a [m,k] and b to c [m,n], with row strides in elements, on the calling
// thread alone. False if oneDNN reports an error, which only arguments out of range can cause.
//
//   MultiplyTransposed  c[i,j] = sum_l a[i,l] * b[j,l] for b [n,k], as weights stand in a file
//   Multiply            c[i,j] = sum_l a[i,l] * b[l,j] for b [k,n]
bool MultiplyTransposed(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_stride,
                        const float* b, int64_t b_stride, float* c, int64_t c_stride);
bool Multiply(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_stride, const float* b,
              int64_t b_stride, float* c, int64_t c_stride);

}  // namespace sluice::cpu
