#include "backends/cpu/kernels/x16_product.h"

#include <algorithm>

#include "backends/cpu/features.h"

namespace sluice::cpu {
namespace {

int64_t ExpandedStripBytes(const X16Format& format, int64_t cols) {
  return cols / kChunk * format.ExpandedChunkBytes();
}

}  // namespace

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

X16Rows RowsOf(const X16Matrix& w, int64_t begin, int64_t end) {
  return {w.isa->formats[w.format].multiply, w.StripOf(begin),
          X16StripBytes(kX16Formats[w.format], w.cols), end - begin, w.cols};
}

int64_t MostExpandedStripBytes(int64_t cols) {
  int64_t most = 0;
  for (const X16Format& format : kX16Formats) {
    most = std::max(most, ExpandedStripBytes(format, cols));
  }
  return most;
}

X16Rows ExpandRows(const X16Matrix& w, int64_t begin, int64_t end, std::byte* out) {
  const X16Functions& functions = w.isa->formats[w.format];
  const X16Rows expanded = {functions.multiply_expanded, out,
                            ExpandedStripBytes(kX16Formats[w.format], w.cols), end - begin, w.cols};
  for (int64_t row = begin; row < end; row += kX16Rows, out += expanded.strip_bytes) {
    functions.expand(w.StripOf(row), w.cols, out);
  }
  return expanded;
}

void MultiplyX16(const X16Rows& w, const std::byte* tile, int tile_rows, float* y,
                 int64_t y_stride) {
  const std::byte* strip = w.strips;
  for (int64_t row = 0; row < w.rows; row += kX16Rows, strip += w.strip_bytes) {
    float* out = y + row;
    if (w.rows - row >= kX16Rows) {
      w.multiply(strip, w.cols, tile, tile_rows, out, y_stride);
      continue;
    }
    float products[kTileRows * kX16Rows];  // more than the result has room for
    w.multiply(strip, w.cols, tile, tile_rows, products, kX16Rows);
    for (int i = 0; i < tile_rows; ++i) {
      std::copy_n(products + i * kX16Rows, w.rows - row, out + i * y_stride);
    }
  }
}

}  // namespace sluice::cpu
