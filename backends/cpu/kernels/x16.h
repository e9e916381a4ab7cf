// The layout x16: 16 rows of a weight side by side, as small unsigned codes that a processor can
// multiply with 8-bit activations (q8_tiles.h), four columns of one row to a 32-bit lane, so that
// a product needs no sums across lanes.
//
// A strip is 16 rows; rows that are missing at the end are zeros. A strip is a sequence of blocks
// of 32 * chunks columns:
//
//   uint16_t d[16]                 float16
//   uint16_t dmin[16]              float16, if has_mins
//   int8_t   scales[groups][16]    if has_scales without mins; groups = 32 * chunks / group
//   uint8_t  low[groups][16]       if has_scales and has_mins: the low four bits of a scale, and
//                                  above them those of the minimum
//   uint8_t  high[groups / 2][16]  and if these have 6 bits: two bits each of the scale and the
//                                  minimum of an even group, then of the odd one after it
//   codes, a chunk of 32 columns after the other
//
// The codes of a chunk are planes of 64 bytes. Byte 4 r + i of a plane belongs to row r and to
// column 4 q + i of every quad q (four columns) that the plane has bits of:
//
//   code_bits 8:  plane q has the byte of quad q
//   code_bits 4:  plane j the nibbles of quads 2 j (low) and 2 j + 1 (high)
//   code_bits 5:  as 4; then a plane whose bit q is the fifth bit of quad q
//   code_bits 6:  as 4; then two planes: plane j has the top bits of quad 4 j + q % 4 from its
//                 bit 2 (q % 4) on
//   code_bits 2:  two planes as those
//
// A value is scale * (code - offset), or scale * code - min with has_mins, where scale = d * scales
// and min = dmin * mins, or d and dmin alone without has_scales. With is_iq4 the code stands for
// kIq4Values[code] + offset. Values are equal to those that the decoder of the file's format takes.
//
// Strips that meet many tiles are expanded first, where an instruction set gains by that. A chunk
// of an expanded strip is
//
//   uint8_t codes[8][64]         a plane for each quad, as with code_bits 8
//   float   scale[groups][16]
//   float   min[groups][16]      if has_mins: the minimum over -128
//
// where codes of formats without minimums have the offset 128.
//
// Everything here is compiled for several instruction sets: no function that a linker could share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "graph/dtype.h"

namespace sluice::cpu {

inline constexpr int kX16Rows = 16;
inline constexpr int kChunk = 32;  // columns
inline constexpr int kQuads = 8;   // of a chunk

struct X16Format {
  DType dtype;
  int code_bits;       // 2, 4, 5, 6 or 8
  int group = kChunk;  // columns that share a scale: 16 or 32
  int chunks = 1;      // of a block
  int offset = 0;      // 0 with has_mins
  bool has_scales = false;
  bool has_mins = false;
  bool is_iq4 = false;
  int scale_bits = 0;  // of a scale or a minimum, where both are there: 4 or 6

  constexpr int BlockColumns() const { return kChunk * chunks; }
  constexpr int Groups() const { return BlockColumns() / group; }
  constexpr int MinOffset() const { return 2 * kX16Rows; }  // of dmin
  constexpr int ScalesOffset() const { return (has_mins ? 4 : 2) * kX16Rows; }
  constexpr int HighOffset() const { return ScalesOffset() + Groups() * kX16Rows; }
  constexpr int CodesOffset() const {
    if (!has_scales) return ScalesOffset();
    return HighOffset() + (scale_bits == 6 ? Groups() / 2 * kX16Rows : 0);
  }
  constexpr int ChunkBytes() const { return kChunk * kX16Rows * code_bits / 8; }
  constexpr int BlockBytes() const { return CodesOffset() + chunks * ChunkBytes(); }

  constexpr int ChunkGroups() const { return kChunk / group; }
  constexpr int ExpandedScalesOffset() const { return kChunk * kX16Rows; }
  constexpr int ExpandedMinsOffset() const {
    return ExpandedScalesOffset() + ChunkGroups() * kX16Rows * 4;
  }
  constexpr int ExpandedChunkBytes() const {
    return ExpandedMinsOffset() + (has_mins ? ChunkGroups() * kX16Rows * 4 : 0);
  }
};

// Every format that has the layout. The instances for instruction sets (x16_kernel.h) and the
// packing (layout_x16.cc) are made from these records; a new one needs besides a function there
// that takes a block apart.
inline constexpr X16Format kX16Formats[] = {
    {.dtype = DType::kQ4_0, .code_bits = 4, .offset = 8},
    {.dtype = DType::kQ4_1, .code_bits = 4, .has_mins = true},  // min = -m
    {.dtype = DType::kQ5_0, .code_bits = 5, .offset = 16},
    {.dtype = DType::kQ5_1, .code_bits = 5, .has_mins = true},  // min = -m
    {.dtype = DType::kQ8_0, .code_bits = 8, .offset = 128},
    {.dtype = DType::kQ2_K,
     .code_bits = 2,
     .group = 16,
     .chunks = 8,
     .has_scales = true,
     .has_mins = true,
     .scale_bits = 4},
    {.dtype = DType::kQ3_K,
     .code_bits = 4,
     .group = 16,
     .chunks = 8,
     .offset = 4,
     .has_scales = true},
    {.dtype = DType::kQ4_K,
     .code_bits = 4,
     .chunks = 8,
     .has_scales = true,
     .has_mins = true,
     .scale_bits = 6},
    {.dtype = DType::kQ5_K,
     .code_bits = 5,
     .chunks = 8,
     .has_scales = true,
     .has_mins = true,
     .scale_bits = 6},
    {.dtype = DType::kQ6_K,
     .code_bits = 6,
     .group = 16,
     .chunks = 8,
     .offset = 32,
     .has_scales = true},
    {.dtype = DType::kIQ4_NL, .code_bits = 4, .offset = 127, .is_iq4 = true},
    {.dtype = DType::kIQ4_XS,
     .code_bits = 4,
     .chunks = 8,
     .offset = 127,
     .has_scales = true,
     .is_iq4 = true},
};
inline constexpr int kX16FormatCount = sizeof(kX16Formats) / sizeof(kX16Formats[0]);

// y[i * y_stride + r] = sum over columns of weight row r times activation row i, for the rows of a
// tile (q8_tiles.h) and the 16 rows of a strip.
using X16MultiplyFn = void (*)(const std::byte* strip, int64_t cols, const std::byte* tile,
                               int tile_rows, float* y, int64_t y_stride);

// Writes a strip in its expanded form.
using X16ExpandFn = void (*)(const std::byte* strip, int64_t cols, std::byte* out);

// What an instruction set has for a format.
struct X16Functions {
  X16MultiplyFn multiply;
  X16ExpandFn expand = nullptr;  // these two if it can expand
  X16MultiplyFn multiply_expanded = nullptr;
};

struct X16Isa {
  const char* name;
  const char* needs[4];                   // features of DeviceCaps; null: none
  X16Functions formats[kX16FormatCount];  // in the order of kX16Formats
  bool can_expand = false;                // otherwise nothing is gained
  // Writes the rows of x, `cols` floats each, as a tile.
  void (*quantize)(const float* x, int rows, int64_t cols, std::byte* tile);
  // For measurements: the innermost loop of all products and nothing else, `rounds` times over the
  // same numbers. Returns the operations done, two for a multiply-add, and adds to `sink`.
  int64_t (*spin)(int64_t rounds, int32_t* sink);
};

// Null where the compiler's target is another family of processors.
extern const X16Isa* const kX16Avx512Vnni;
extern const X16Isa* const kX16Avx512;
extern const X16Isa* const kX16Avx2;
extern const X16Isa* const kX16Portable;

}  // namespace sluice::cpu
