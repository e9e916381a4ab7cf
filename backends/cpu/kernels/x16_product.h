// Products with weights in the layout x16 (x16.h): directly for few rows of activations, by decoded
// panels and oneDNN for many, so that one copy of a weight serves prompts and single tokens.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/kernels/x16.h"
#include "proto/device.pb.h"

namespace sluice::cpu {

// The format's place in kX16Formats; -1: weights of this type do not come in x16.
int X16FormatIndex(DType dtype);

// Bytes of one strip, and of a matrix: whole strips.
int64_t X16StripBytes(const X16Format& format, int64_t cols);
int64_t X16MatrixBytes(const X16Format& format, int64_t rows, int64_t cols);

// The best instruction set among those that the device has.
const X16Isa& X16IsaFor(const proto::DeviceCaps& caps);

struct X16Matrix {
  const X16Format* format;
  const X16Kernel* kernel;
  const std::byte* data;
  int64_t cols;
};

// As MultiplyPanel, without a bias; `begin` is a multiple of 16. `scratch` holds
// (end - begin) * cols floats, with end - begin rounded up to a multiple of 16.
void MultiplyX16(const X16Matrix& w, int64_t begin, int64_t end, const float* x, int64_t m,
                 float* y, int64_t y_stride, float* scratch);

// The values of one row.
void DecodeX16Row(const X16Matrix& w, int64_t row, float* out);

}  // namespace sluice::cpu
