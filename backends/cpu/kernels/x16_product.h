// Products with weights in the layout x16 (x16.h) and activations of 8 bits (q8_tiles.h): one copy
// of a weight serves prompts and single tokens.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cpu/kernels/q8_tiles.h"
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

  const std::byte* StripOf(int64_t row) const;
};

// Some rows of a matrix, ready for products with tiles.
struct X16Rows {
  X16MultiplyFn multiply;
  const std::byte* strips;
  int64_t strip_bytes;
  int64_t rows;
  int64_t cols;
};

// Rows begin to end, where `begin` is a multiple of 16.
X16Rows RowsOf(const X16Matrix& w, int64_t begin, int64_t end);

// The same, expanded into `out`, if the instruction set can_expand.
int64_t MostExpandedStripBytes(int64_t cols);  // of all formats
X16Rows ExpandRows(const X16Matrix& w, int64_t begin, int64_t end, std::byte* out);

// y[i * y_stride + j] = row j of w times row i of the `tile_rows` rows of the tile.
void MultiplyX16(const X16Rows& w, const std::byte* tile, int tile_rows, float* y,
                 int64_t y_stride);

// The values of one row.
void DecodeX16Row(const X16Matrix& w, int64_t row, float* out);

}  // namespace sluice::cpu
