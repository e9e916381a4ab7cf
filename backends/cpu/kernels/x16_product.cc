#include "backends/cpu/kernels/x16_product.h"

#include <algorithm>

#include "backends/cpu/features.h"

namespace sluice::cpu {
int X16FormatIndex(DType dtype) {
  const auto* found = std::find_if(std::begin(kX16Formats), std::end(kX16Formats),
                                   [&](const X16Format& f) { return f.dtype == dtype; });
  return found != std::end(kX16Formats) ? static_cast<int>(found - kX16Formats) : -1;
}

int64_t X16StripBytes(const X16Format& format, int64_t cols) {
  return cols / format.BlockColumns() * format.BlockBytes();
}

int64_t X16MatrixBytes(const X16Format& format, int64_t rows, int64_t cols) {
  return (rows + kX16Rows - 1) / kX16Rows * X16StripBytes(format, cols);
}

const std::byte* X16Matrix::StripOf(int64_t row) const {
  return data + row / kX16Rows * X16StripBytes(kX16Formats[format], cols);
}

const X16Isa& X16IsaFor(const proto::DeviceCaps& caps) {
  for (const X16Isa* isa : {kX16Avx512Vnni, kX16Avx512, kX16Avx2}) {
    if (isa != nullptr && HasFeatures(caps, isa->needs)) return *isa;
  }
  return *kX16Portable;
}

void MultiplyX16(const X16Matrix& w, int64_t begin, int64_t end, const std::byte* tile, int rows,
                 float* y, int64_t y_stride) {
  const X16MultiplyFn multiply = w.isa->multiply[w.format];
  for (int64_t row = begin; row < end; row += kX16Rows) {
    float* out = y + row - begin;
    if (end - row >= kX16Rows) {
      multiply(w.StripOf(row), w.cols, tile, rows, out, y_stride);
      continue;
    }
    float products[kTileRows * kX16Rows];  // more than the result has room for
    multiply(w.StripOf(row), w.cols, tile, rows, products, kX16Rows);
    for (int i = 0; i < rows; ++i) {
      std::copy_n(products + i * kX16Rows, end - row, out + i * y_stride);
    }
  }
}

}  // namespace sluice::cpu
