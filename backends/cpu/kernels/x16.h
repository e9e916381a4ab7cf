// The layout x16: 16 rows of a weight side by side, so that a vector of 16 floats holds one column
// of them and a product with a row of activations needs no sums across lanes.
//
// A strip is 16 rows; rows that are missing at the end are zeros. A strip is a sequence of blocks,
// each a multiple of 64 bytes, of `group * groups` columns:
//
//   float    d[16]
//   float    dmin[16]             if has_mins
//   int8_t   scales[groups][16]   if groups > 1
//   int8_t   mins[groups][16]     if groups > 1 and has_mins
//   codes, group by group
//     of 4 bits, 0 .. 15:         for every 8 columns uint32_t words[16]: column c of row r is in
//                                 bits 4c .. 4c+3 of words[r]
//     of 8 bits, -128 .. 127:     for every column int8_t codes[16]
//
// A value is scale * code - min, where scale = d * scales and min = dmin * mins, or d and dmin
// alone with one group to a block: the products and the difference that the decoder of the file's
// format takes, so that values are equal to its.
//
// Everything here is compiled for several instruction sets: no function that a linker could share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "graph/dtype.h"

namespace sluice::cpu {

inline constexpr int kX16Rows = 16;

struct X16Format {
  DType dtype;
  int group;      // columns that share a scale
  int groups;     // of a block
  int code_bits;  // 4 or 8
  bool has_mins;

  constexpr int BlockColumns() const { return group * groups; }
  constexpr int ScalesOffset() const { return (has_mins ? 2 : 1) * kX16Rows * 4; }
  constexpr int MinsOffset() const { return ScalesOffset() + groups * kX16Rows; }
  constexpr int CodesOffset() const {
    if (groups == 1) return ScalesOffset();
    return MinsOffset() + (has_mins ? groups * kX16Rows : 0);
  }
  constexpr int GroupCodeBytes() const { return group * kX16Rows * code_bits / 8; }
  constexpr int BlockBytes() const { return CodesOffset() + groups * GroupCodeBytes(); }
};

inline constexpr X16Format kX16Formats[] = {
    {DType::kQ4_0, 32, 1, 4, true},    // d * q - 8 d, exact
    {DType::kQ4_K, 32, 8, 4, true},    //
    {DType::kQ5_K, 32, 8, 8, true},    //
    {DType::kQ6_K, 16, 16, 8, false},  // q - 32 as a byte
    {DType::kQ8_0, 32, 1, 8, false},
};
inline constexpr int kX16FormatCount = sizeof(kX16Formats) / sizeof(kX16Formats[0]);

// The rows of x that one pass over a strip can take.
inline constexpr int kX16MaxPass = 4;

// What can be done with a strip of one format, with one instruction set.
struct X16Kernel {
  // multiply[n - 1]: y[i][r] = sum over columns of weight row r times row i of x, for n rows of x,
  // which are `x_stride` floats apart. `sums` has, where the format has minimums, the sum of x over
  // each group of columns: [group][n].
  void (*multiply[kX16MaxPass])(const std::byte* strip, int64_t cols, const float* x,
                                int64_t x_stride, const float* sums, float* y);
  // The values: column c of row r at out[c * stride + r].
  void (*decode)(const std::byte* strip, int64_t cols, float* out, int64_t stride);
};

struct X16Isa {
  const char* name;
  const char* needs[2];                // features of DeviceCaps; null: none
  int max_rows;                        // of x, up to which `multiply` beats decoding and oneDNN
  X16Kernel kernels[kX16FormatCount];  // as kX16Formats
};

// Null where the compiler's target is another family of processors.
extern const X16Isa* const kX16Avx512;
extern const X16Isa* const kX16Avx2;
extern const X16Isa* const kX16Portable;

}  // namespace sluice::cpu
