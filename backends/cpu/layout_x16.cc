// Packing into the layout x16 (kernels/x16.h).
#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "backends/cpu/kernels/x16_product.h"
#include "backends/cpu/layouts.h"
#include "graph/formats/blocks.h"

namespace sluice::cpu {
namespace {

// One row's part of a block, taken apart.
struct RowParts {
  float d, dmin;
  int8_t scales[16], mins[16];
  uint8_t codes[256];  // signed ones as two's complement
};

void TakeApart(const BlockQ4_0& block, RowParts* parts) {
  parts->d = LoadF16(block.d);
  parts->dmin = 8 * parts->d;
  for (int i = 0; i < 16; ++i) {
    parts->codes[i] = block.qs[i] & 15;
    parts->codes[i + 16] = block.qs[i] >> 4;
  }
}

void TakeApart(const BlockQ8_0& block, RowParts* parts) {
  parts->d = LoadF16(block.d);
  std::memcpy(parts->codes, block.qs, sizeof(block.qs));
}

// What Q4_K and Q5_K have alike.
template <typename Block>
void TakeApartQ4(const Block& block, RowParts* parts) {
  parts->d = LoadF16(block.d);
  parts->dmin = LoadF16(block.dmin);
  for (int g = 0; g < 8; ++g) {
    const ScaleMin packed = UnpackScaleMinK(block.scales, g);
    parts->scales[g] = static_cast<int8_t>(packed.scale);
    parts->mins[g] = static_cast<int8_t>(packed.min);
    for (int l = 0; l < 32; ++l) {
      parts->codes[32 * g + l] = (block.qs[32 * (g / 2) + l] >> (4 * (g % 2))) & 15;
    }
  }
}

void TakeApart(const BlockQ4_K& block, RowParts* parts) { TakeApartQ4(block, parts); }

void TakeApart(const BlockQ5_K& block, RowParts* parts) {
  TakeApartQ4(block, parts);
  for (int i = 0; i < 256; ++i) {
    const int high = (block.qh[i % 32] >> (i / 32)) & 1;
    parts->codes[i] = static_cast<uint8_t>(parts->codes[i] | (high << 4));
  }
}

void TakeApart(const BlockQ6_K& block, RowParts* parts) {
  parts->d = LoadF16(block.d);
  std::memcpy(parts->scales, block.scales, sizeof(block.scales));
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, quarter = i % 128 / 32, l = i % 32;
    const int low = (block.ql[64 * half + 32 * (quarter % 2) + l] >> (4 * (quarter / 2))) & 15;
    const int high = (block.qh[32 * half + l] >> (2 * quarter)) & 3;
    parts->codes[i] = static_cast<uint8_t>((low | (high << 4)) - 32);
  }
}

template <typename Block>
void TakeApartBlock(const std::byte* block, RowParts* parts) {
  TakeApart(*reinterpret_cast<const Block*>(block), parts);
}

// In the order of kX16Formats.
constexpr void (*kTakeApart[])(const std::byte* block, RowParts* parts) = {
    TakeApartBlock<BlockQ4_0>, TakeApartBlock<BlockQ4_K>, TakeApartBlock<BlockQ5_K>,
    TakeApartBlock<BlockQ6_K>, TakeApartBlock<BlockQ8_0>,
};
static_assert(std::size(kTakeApart) == kX16FormatCount);

void PutTogether(const X16Format& format, const RowParts (&rows)[kX16Rows], std::byte* block) {
  std::byte* codes = block + format.CodesOffset();
  std::memset(codes, 0, static_cast<size_t>(format.BlockBytes() - format.CodesOffset()));
  for (int r = 0; r < kX16Rows; ++r) {
    const RowParts& row = rows[r];
    std::memcpy(block + 4 * r, &row.d, 4);
    if (format.has_mins) std::memcpy(block + 4 * (kX16Rows + r), &row.dmin, 4);
    for (int g = 0; format.groups > 1 && g < format.groups; ++g) {
      const int place = g * kX16Rows + r;
      block[format.ScalesOffset() + place] = static_cast<std::byte>(row.scales[g]);
      if (format.has_mins) block[format.MinsOffset() + place] = static_cast<std::byte>(row.mins[g]);
    }
    for (int c = 0; c < format.BlockColumns(); ++c) {
      if (format.code_bits == 8) {
        codes[c * kX16Rows + r] = static_cast<std::byte>(row.codes[c]);
      } else {
        // Byte c % 8 / 2 of a little-endian word.
        codes[(c / 8 * kX16Rows + r) * 4 + c % 8 / 2] |=
            static_cast<std::byte>(row.codes[c] << (4 * (c % 2)));
      }
    }
  }
}

// The bytes of one row of matrix e.
const std::byte* RowOf(const TensorView& weight, int64_t e, int64_t row) {
  if (weight.rank() == 2) return weight.Slice(row);
  return weight.Slice(e) + row * weight.row_bytes();
}

void Pack(const TensorView& weight, std::byte* out, const Threads& threads) {
  const int index = X16FormatIndex(weight.dtype);
  const X16Format& format = kX16Formats[index];
  const int64_t block_bytes = Info(weight.dtype).bytes_per_block;
  const int64_t rows = weight.dim(-2), matrices = weight.rank() == 2 ? 1 : weight.dim(0);
  const int64_t strips = (rows + kX16Rows - 1) / kX16Rows;
  const int64_t strip_bytes = X16StripBytes(format, weight.cols());
  threads.For(matrices * strips, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t strip = begin; strip < end; ++strip) {
      const int64_t first = strip % strips * kX16Rows;
      for (int64_t b = 0; b < strip_bytes / format.BlockBytes(); ++b) {
        RowParts parts[kX16Rows] = {};
        for (int64_t r = 0; r < std::min<int64_t>(kX16Rows, rows - first); ++r) {
          kTakeApart[index](RowOf(weight, strip / strips, first + r) + b * block_bytes, &parts[r]);
        }
        PutTogether(format, parts, out + strip * strip_bytes + b * format.BlockBytes());
      }
    }
  });
}

absl::Status Accepts(const TensorType& type) {
  if (X16FormatIndex(type.dtype) < 0) {
    return absl::UnimplementedError(
        absl::StrCat("the layout x16 does not take the format ", Name(type.dtype)));
  }
  const bool is_constant = std::all_of(type.shape.begin(), type.shape.end(),
                                       [](const Dim& dim) { return dim.is_constant(); });
  if (is_constant && (type.shape.size() == 2 || type.shape.size() == 3)) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("the layout x16 does not take ", type.ToString(),
                                               ", expected constant [rows,columns] or "
                                               "[experts,rows,columns]"));
}

int64_t Bytes(const TensorType& type) {
  const Shape& shape = type.shape;
  const size_t rank = shape.size();
  const X16Format& format = kX16Formats[X16FormatIndex(type.dtype)];
  return (rank == 3 ? shape[0].factor() : 1) *
         X16MatrixBytes(format, shape[rank - 2].factor(), shape[rank - 1].factor());
}

}  // namespace

void AddLayouts(std::vector<CpuLayout>* layouts) {
  layouts->push_back(
      {{"x16", "16 rows side by side, for products with few rows of activations", Accepts, Bytes},
       Pack});
}

}  // namespace sluice::cpu
