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
  int format;  // its place in kX16Formats
  const X16Isa* isa;
  const std::byte* data;
  int64_t cols;

  const X16Kernel& kernel() const { return isa->kernels[format]; }
  int group() const { return kX16Formats[format].group; }
  bool has_mins() const { return kX16Formats[format].has_mins; }
  const std::byte* StripOf(int64_t row) const;
};

// As MultiplyPanel, without a bias; `begin` is a multiple of 16. `scratch` holds
// (end - begin) * cols floats, with end - begin rounded up to a multiple of 16.
void MultiplyX16(const X16Matrix& w, int64_t begin, int64_t end, const float* x, int64_t m,
                 float* y, int64_t y_stride, float* scratch);

}  // namespace sluice::cpu
