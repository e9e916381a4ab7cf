// Packing into the layout x16 (kernels/x16.h), and back.
#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backends/cpu/kernels/x16_product.h"
#include "backends/cpu/layouts.h"
#include "graph/formats/blocks.h"

namespace sluice::cpu {
namespace {

constexpr int kMaxColumns = 256;  // of a block

// One row's part of a block, taken apart.
struct RowParts {
  uint16_t d, dmin;  // float16
  int8_t scales[16], mins[16];
  uint8_t codes[kMaxColumns];  // as X16Format says
};

uint16_t Bits(const HalfField& field) { return LoadU16(field.bytes); }
uint16_t NegatedBits(const HalfField& field) { return Bits(field) ^ 0x8000; }

void TakeNibbles(const uint8_t* qs, uint8_t* codes) {
  for (int i = 0; i < 16; ++i) {
    codes[i] = qs[i] & 15;
    codes[i + 16] = qs[i] >> 4;
  }
}

void TakeFifthBits(const uint8_t* qh, uint8_t* codes) {
  const uint32_t bits = LoadU32(qh);
  for (int i = 0; i < 32; ++i) codes[i] |= static_cast<uint8_t>((bits >> i & 1) << 4);
}

void TakeApart(const BlockQ4_0& block, RowParts* parts) {
  parts->d = Bits(block.d);
  TakeNibbles(block.qs, parts->codes);
}

void TakeApart(const BlockQ4_1& block, RowParts* parts) {
  parts->d = Bits(block.d);
  parts->dmin = NegatedBits(block.m);
  TakeNibbles(block.qs, parts->codes);
}

void TakeApart(const BlockQ5_0& block, RowParts* parts) {
  parts->d = Bits(block.d);
  TakeNibbles(block.qs, parts->codes);
  TakeFifthBits(block.qh, parts->codes);
}

void TakeApart(const BlockQ5_1& block, RowParts* parts) {
  parts->d = Bits(block.d);
  parts->dmin = NegatedBits(block.m);
  TakeNibbles(block.qs, parts->codes);
  TakeFifthBits(block.qh, parts->codes);
}

void TakeApart(const BlockQ8_0& block, RowParts* parts) {
  parts->d = Bits(block.d);
  for (int i = 0; i < 32; ++i) parts->codes[i] = static_cast<uint8_t>(block.qs[i] + 128);
}

void TakeApart(const BlockQ2_K& block, RowParts* parts) {
  parts->d = Bits(block.d);
  parts->dmin = Bits(block.dmin);
  for (int g = 0; g < 16; ++g) {
    parts->scales[g] = static_cast<int8_t>(block.scales[g] & 15);
    parts->mins[g] = static_cast<int8_t>(block.scales[g] >> 4);
  }
  for (int part = 0; part < 8; ++part) {
    const uint8_t* qs = block.qs + 32 * (part / 4);
    for (int l = 0; l < 32; ++l) parts->codes[32 * part + l] = qs[l] >> (2 * (part % 4)) & 3;
  }
}

void TakeApart(const BlockQ3_K& block, RowParts* parts) {
  parts->d = Bits(block.d);
  for (int g = 0; g < 16; ++g) {
    parts->scales[g] = static_cast<int8_t>(UnpackScaleQ3K(block.scales, g));
  }
  for (int part = 0; part < 8; ++part) {
    const uint8_t* qs = block.qs + 32 * (part / 4);
    for (int l = 0; l < 32; ++l) {
      const int low = qs[l] >> (2 * (part % 4)) & 3, high = block.hmask[l] >> part & 1;
      parts->codes[32 * part + l] = static_cast<uint8_t>(low | (high << 2));
    }
  }
}

// What Q4_K and Q5_K have alike.
template <typename Block>
void TakeApartQ4(const Block& block, RowParts* parts) {
  parts->d = Bits(block.d);
  parts->dmin = Bits(block.dmin);
  for (int g = 0; g < 8; ++g) {
    const ScaleMin packed = UnpackScaleMinK(block.scales, g);
    parts->scales[g] = static_cast<int8_t>(packed.scale);
    parts->mins[g] = static_cast<int8_t>(packed.min);
  }
  for (int pair = 0; pair < 4; ++pair) {
    for (int l = 0; l < 32; ++l) {
      parts->codes[64 * pair + l] = block.qs[32 * pair + l] & 15;
      parts->codes[64 * pair + 32 + l] = block.qs[32 * pair + l] >> 4;
    }
  }
}

void TakeApart(const BlockQ4_K& block, RowParts* parts) { TakeApartQ4(block, parts); }

void TakeApart(const BlockQ5_K& block, RowParts* parts) {
  TakeApartQ4(block, parts);
  for (int g = 0; g < 8; ++g) {
    for (int l = 0; l < 32; ++l) {
      parts->codes[32 * g + l] |= static_cast<uint8_t>((block.qh[l] >> g & 1) << 4);
    }
  }
}

void TakeApart(const BlockQ6_K& block, RowParts* parts) {
  parts->d = Bits(block.d);
  std::memcpy(parts->scales, block.scales, sizeof(block.scales));
  for (int part = 0; part < 8; ++part) {
    const int half = part / 4, quarter = part % 4;
    const uint8_t* ql = block.ql + 64 * half + 32 * (quarter % 2);
    const uint8_t* qh = block.qh + 32 * half;
    for (int l = 0; l < 32; ++l) {
      const int low = ql[l] >> (4 * (quarter / 2)) & 15, high = qh[l] >> (2 * quarter) & 3;
      parts->codes[32 * part + l] = static_cast<uint8_t>(low | (high << 4));
    }
  }
}

void TakeApart(const BlockIQ4_NL& block, RowParts* parts) {
  parts->d = Bits(block.d);
  TakeNibbles(block.qs, parts->codes);
}

void TakeApart(const BlockIQ4_XS& block, RowParts* parts) {
  parts->d = Bits(block.d);
  for (int g = 0; g < 8; ++g) {
    parts->scales[g] = static_cast<int8_t>(UnpackScaleIQ4XS(block, g));
    TakeNibbles(block.qs + 16 * g, parts->codes + 32 * g);
  }
}

template <typename Block>
void TakeApartBlock(const std::byte* block, RowParts* parts) {
  TakeApart(*reinterpret_cast<const Block*>(block), parts);
}

// In the order of kX16Formats.
constexpr void (*kTakeApart[])(const std::byte* block, RowParts* parts) = {
    TakeApartBlock<BlockQ4_0>, TakeApartBlock<BlockQ4_1>,   TakeApartBlock<BlockQ5_0>,
    TakeApartBlock<BlockQ5_1>, TakeApartBlock<BlockQ8_0>,   TakeApartBlock<BlockQ2_K>,
    TakeApartBlock<BlockQ3_K>, TakeApartBlock<BlockQ4_K>,   TakeApartBlock<BlockQ5_K>,
    TakeApartBlock<BlockQ6_K>, TakeApartBlock<BlockIQ4_NL>, TakeApartBlock<BlockIQ4_XS>,
};
static_assert(std::size(kTakeApart) == kX16FormatCount);

// --- Codes: four at a time, as one number of 32 bits ------------------------------------------

constexpr int kPlaneBytes = 4 * kX16Rows;
constexpr uint32_t kEachByte = 0x01010101;

// Where bits of a quad's codes are: bits `from` .. `from + count - 1` of each code stand at bit
// `to` in the plane.
struct Place {
  int plane, from, to, count;
};

// The places of quad q; the second has no bits where one plane has all.
std::pair<Place, Place> PlacesOf(int code_bits, int q) {
  if (code_bits == 8) return {{q, 0, 0, 8}, {}};
  if (code_bits == 2) return {{q / 4, 0, q % 4 * 2, 2}, {}};
  const Place low = {q / 2, 0, q % 2 * 4, 4};
  if (code_bits == 5) return {low, {4, 4, q, 1}};
  if (code_bits == 6) return {low, {4 + q / 4, 4, q % 4 * 2, 2}};
  return {low, {}};
}

uint32_t LoadWord(const void* p) {
  uint32_t word;
  std::memcpy(&word, p, sizeof(word));
  return word;
}

void PutQuad(const Place& place, uint32_t codes, std::byte* row_of_chunk) {
  const uint32_t mask = kEachByte * ((1U << place.count) - 1);
  std::byte* p = row_of_chunk + place.plane * kPlaneBytes;
  const uint32_t word = LoadWord(p) | (codes >> place.from & mask) << place.to;
  std::memcpy(p, &word, sizeof(word));
}

uint32_t GetQuad(const Place& place, const std::byte* row_of_chunk) {
  const uint32_t mask = kEachByte * ((1U << place.count) - 1);
  return (LoadWord(row_of_chunk + place.plane * kPlaneBytes) >> place.to & mask) << place.from;
}

void PutCodes(const X16Format& format, const uint8_t* codes, std::byte* row_of_block) {
  for (int chunk = 0; chunk < format.chunks; ++chunk, row_of_block += format.ChunkBytes()) {
    for (int q = 0; q < kQuads; ++q, codes += 4) {
      const auto [first, second] = PlacesOf(format.code_bits, q);
      PutQuad(first, LoadWord(codes), row_of_block);
      if (second.count > 0) PutQuad(second, LoadWord(codes), row_of_block);
    }
  }
}

void GetCodes(const X16Format& format, const std::byte* row_of_block, uint8_t* codes) {
  for (int chunk = 0; chunk < format.chunks; ++chunk, row_of_block += format.ChunkBytes()) {
    for (int q = 0; q < kQuads; ++q, codes += 4) {
      const auto [first, second] = PlacesOf(format.code_bits, q);
      uint32_t word = GetQuad(first, row_of_block);
      if (second.count > 0) word |= GetQuad(second, row_of_block);
      std::memcpy(codes, &word, sizeof(word));
    }
  }
}

// --- Blocks ------------------------------------------------------------------------------------

void PutRow(const X16Format& format, const RowParts& row, int r, std::byte* block) {
  std::memcpy(block + 2 * r, &row.d, 2);
  if (format.has_mins) std::memcpy(block + format.MinOffset() + 2 * r, &row.dmin, 2);
  for (int g = 0; format.has_scales && g < format.Groups(); ++g) {
    const int place = g * kX16Rows + r;
    block[format.ScalesOffset() + place] = static_cast<std::byte>(row.scales[g]);
    if (format.has_mins) block[format.MinsOffset() + place] = static_cast<std::byte>(row.mins[g]);
  }
  PutCodes(format, row.codes, block + format.CodesOffset() + 4 * r);
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
    std::memset(out + begin * strip_bytes, 0, static_cast<size_t>((end - begin) * strip_bytes));
    for (int64_t strip = begin; strip < end; ++strip) {
      const int64_t first = strip % strips * kX16Rows;
      for (int64_t r = 0; r < std::min<int64_t>(kX16Rows, rows - first); ++r) {
        const std::byte* from = RowOf(weight, strip / strips, first + r);
        for (int64_t b = 0; b < strip_bytes / format.BlockBytes(); ++b) {
          RowParts parts;
          kTakeApart[index](from + b * block_bytes, &parts);
          PutRow(format, parts, static_cast<int>(r),
                 out + strip * strip_bytes + b * format.BlockBytes());
        }
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

float HalfAt(const std::byte* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return F32FromF16(bits);
}

// The value of one code of a row: what the loops of x16_kernel.h have for 16.
float ValueOf(const X16Format& format, const std::byte* block, int r, int col, uint8_t code) {
  const int place = col / format.group * kX16Rows + r;
  const auto factor = [&](int first, int parts) {
    const float all = HalfAt(block + first + 2 * r);
    if (!format.has_scales) return all;
    return all * static_cast<float>(static_cast<int8_t>(block[parts + place]));
  };
  const float scale = factor(0, format.ScalesOffset());
  if (format.is_iq4) return scale * static_cast<float>(kIq4Values[code]);
  const float product = scale * static_cast<float>(code - format.offset);
  return format.has_mins ? product - factor(format.MinOffset(), format.MinsOffset()) : product;
}

}  // namespace

void DecodeX16Row(const X16Matrix& w, int64_t row, float* out) {
  const X16Format& format = kX16Formats[w.format];
  const int r = static_cast<int>(row % kX16Rows);
  const std::byte* block = w.StripOf(row);
  for (int64_t col = 0; col < w.cols; col += format.BlockColumns(), block += format.BlockBytes()) {
    uint8_t codes[kMaxColumns];
    GetCodes(format, block + format.CodesOffset() + 4 * r, codes);
    for (int c = 0; c < format.BlockColumns(); ++c) {
      out[col + c] = ValueOf(format, block, r, c, codes[c]);
    }
  }
}

void AddLayouts(std::vector<CpuLayout>* layouts) {
  layouts->push_back(
      {{"x16", "16 rows side by side, for products with 8-bit activations", Accepts, Bytes}, Pack});
}

}  // namespace sluice::cpu
