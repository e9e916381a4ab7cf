// Activations as 8-bit numbers, for products with weights in the layout x16.
//
// Each 32 columns of a row share a scale: the largest magnitude over 127. Rows that meet the same
// weight are cut into tiles of up to eight rows. A tile has for each chunk of 32 columns what
// follows, so that code that goes down the columns reads it from front to back:
//
//   int8_t codes[8][rows][4]   quad q of row i, round(x / scale), half to even
//   float  scales[rows]
//   float  shifts[rows]        -128 times the sum of the 32 codes
//   float  halves[2][rows]     the same of the first and the last 16 codes
//
// A shift, added to the products with codes that are 128 too large, sets these right: weights are
// unsigned codes. Times a power of two, it also is the factor of a minimum. A chunk with a number
// that is not finite has the scale NaN, which makes the products NaN, too.
//
// Everything here is compiled for several instruction sets: no function that a linker could share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::cpu {

inline constexpr int kTileRows = 8;
inline constexpr int kShift = 128;

// Bytes of one row of a tile for each chunk, and of `rows` rows in tiles. Tiles stand one after the
// other: that of row i begins at Q8Bytes(i, cols).
inline constexpr int kQ8ChunkBytes = 48;
constexpr int64_t Q8Bytes(int64_t rows, int64_t cols) { return rows * cols / 32 * kQ8ChunkBytes; }

// `rows` rows as tiles of nearly equal heights.
class TileSplit {
 public:
  explicit TileSplit(int64_t rows) : rows_(rows), count_((rows + kTileRows - 1) / kTileRows) {}
  int64_t count() const { return count_; }
  int64_t begin(int64_t tile) const { return rows_ * tile / count_; }
  int height(int64_t tile) const { return static_cast<int>(begin(tile + 1) - begin(tile)); }

 private:
  int64_t rows_, count_;
};

}  // namespace sluice::cpu
