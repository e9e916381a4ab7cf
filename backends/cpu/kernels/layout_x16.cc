// Packing into the layout x16 (kernels/x16.h), and back.
#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>
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

// Takes one block of a row apart: a specialisation for each record of kX16Formats.
template <DType kDType>
void TakeApart(const std::byte* block, RowParts* parts) = delete;

template <typename Block>
const Block& BlockAt(const std::byte* p) {
  return *reinterpret_cast<const Block*>(p);
}

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

template <>
void TakeApart<DType::kQ4_0>(const std::byte* p, RowParts* parts) {
  const auto& block = BlockAt<BlockQ4_0>(p);
  parts->d = Bits(block.d);
  TakeNibbles(block.qs, parts->codes);
}

template <>
void TakeApart<DType::kQ4_1>(const std::byte* p, RowParts* parts) {
  const auto& block = BlockAt<BlockQ4_1>(p);
  parts->d = Bits(block.d);
  parts->dmin = NegatedBits(block.m);
  TakeNibbles(block.qs, parts->codes);
}

template <>
void TakeApart<DType::kQ5_0>(const std::byte* p, RowParts* parts) {
  const auto& block = BlockAt<BlockQ5_0>(p);
  parts->d = Bits(block.d);
  TakeNibbles(block.qs, parts->codes);
  TakeFifthBits(block.qh, parts->codes);
}

template <>
void TakeApart<DType::kQ5_1>(const std::byte* p, RowParts* parts) {
  const auto& block = BlockAt<BlockQ5_1>(p);
  parts->d = Bits(block.d);
  parts->dmin = NegatedBits(block.m);
  TakeNibbles(block.qs, parts->codes);
  TakeFifthBits(block.qh, parts->codes);
}

template <>
void TakeApart<DType::kQ8_0>(const std::byte* p, RowParts* parts) {
  const auto& block = BlockAt<BlockQ8_0>(p);
  parts->d = Bits(block.d);
  for (int i = 0; i < 32; ++i) parts->codes[i] = static_cast<uint8_t>(block.qs[i] + 128);
}

template <>
void TakeApart<DType::kQ2_K>(const std::byte* p, RowParts* parts) {
  const auto& block = BlockAt<BlockQ2_K>(p);
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

template <>
void TakeApart<DType::kQ3_K>(const std::byte* p, RowParts* parts) {
  const auto& block = BlockAt<BlockQ3_K>(p);
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

template <>
void TakeApart<DType::kQ4_K>(const std::byte* p, RowParts* parts) {
  TakeApartQ4(BlockAt<BlockQ4_K>(p), parts);
}

template <>
void TakeApart<DType::kQ5_K>(const std::byte* p, RowParts* parts) {
  const auto& block = BlockAt<BlockQ5_K>(p);
  TakeApartQ4(block, parts);
  for (int g = 0; g < 8; ++g) {
    for (int l = 0; l < 32; ++l) {
      parts->codes[32 * g + l] |= static_cast<uint8_t>((block.qh[l] >> g & 1) << 4);
    }
  }
}

template <>
void TakeApart<DType::kQ6_K>(const std::byte* p, RowParts* parts) {
  const auto& block = BlockAt<BlockQ6_K>(p);
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

template <>
void TakeApart<DType::kIQ4_NL>(const std::byte* p, RowParts* parts) {
  const auto& block = BlockAt<BlockIQ4_NL>(p);
  parts->d = Bits(block.d);
  TakeNibbles(block.qs, parts->codes);
}

template <>
void TakeApart<DType::kIQ4_XS>(const std::byte* p, RowParts* parts) {
  const auto& block = BlockAt<BlockIQ4_XS>(p);
  parts->d = Bits(block.d);
  for (int g = 0; g < 8; ++g) {
    parts->scales[g] = static_cast<int8_t>(UnpackScaleIQ4XS(block, g));
    TakeNibbles(block.qs + 16 * g, parts->codes + 32 * g);
  }
}

template <size_t... kIndex>
constexpr auto TakeApartOfAll(std::index_sequence<kIndex...>) {
  return std::array{TakeApart<kX16Formats[kIndex].dtype>...};
}
// In the order of kX16Formats.
constexpr auto kTakeApart = TakeApartOfAll(std::make_index_sequence<kX16FormatCount>());

// --- Codes: four at a time, as one number of 32 bits ------------------------------------------

constexpr int64_t kPlaneBytes = 4 * kX16Rows;
constexpr uint32_t kEachByte = 0x01010101;

// Where bits of a quad's codes are: bits `from` .. `from + count - 1` of each code stand at bit
// `to` in the plane. A count of 0: nowhere.
struct Place {
  int plane, from, to, count;
};

// The places of quad q.
template <int kCodeBits>
constexpr std::pair<Place, Place> PlacesOf(int q) {
  if (kCodeBits == 8) return {{q, 0, 0, 8}, {}};
  if (kCodeBits == 2) return {{q / 4, 0, q % 4 * 2, 2}, {}};
  const Place low = {q / 2, 0, q % 2 * 4, 4};
  if (kCodeBits == 5) return {low, {4, 4, q, 1}};
  if (kCodeBits == 6) return {low, {4 + q / 4, 4, q % 4 * 2, 2}};
  return {low, {}};
}

uint32_t LoadWord(const void* p) {
  uint32_t word;
  std::memcpy(&word, p, sizeof(word));
  return word;
}

uint32_t PutBits(const Place& place, uint32_t codes) {
  return (codes >> place.from & kEachByte * ((1U << place.count) - 1)) << place.to;
}
uint32_t GetBits(const Place& place, uint32_t plane) {
  return (plane >> place.to & kEachByte * ((1U << place.count) - 1)) << place.from;
}

// From codes[32] of one row of a chunk to its words in the planes, and back.
template <int kCodeBits>
void PutChunk(const uint8_t* codes, std::byte* row) {
  uint32_t planes[kCodeBits] = {};
#pragma GCC unroll 8
  for (int q = 0; q < kQuads; ++q) {
    const auto [first, second] = PlacesOf<kCodeBits>(q);
    const uint32_t word = LoadWord(codes + 4 * q);
    planes[first.plane] |= PutBits(first, word);
    if (second.count > 0) planes[second.plane] |= PutBits(second, word);
  }
  for (int plane = 0; plane < kCodeBits; ++plane) {
    std::memcpy(row + plane * kPlaneBytes, &planes[plane], sizeof(planes[plane]));
  }
}

template <int kCodeBits>
void GetChunk(const std::byte* row, uint8_t* codes) {
  for (int q = 0; q < kQuads; ++q) {
    const auto [first, second] = PlacesOf<kCodeBits>(q);
    uint32_t word = GetBits(first, LoadWord(row + first.plane * kPlaneBytes));
    if (second.count > 0) {
      word |= GetBits(second, LoadWord(row + second.plane * kPlaneBytes));
    }
    std::memcpy(codes + 4 * q, &word, sizeof(word));
  }
}

// Calls use(std::integral_constant) with the number of bits.
template <typename Use>
void WithCodeBits(int code_bits, const Use& use) {
  switch (code_bits) {
    case 2:
      return use(std::integral_constant<int, 2>());
    case 4:
      return use(std::integral_constant<int, 4>());
    case 5:
      return use(std::integral_constant<int, 5>());
    case 6:
      return use(std::integral_constant<int, 6>());
    default:
      return use(std::integral_constant<int, 8>());
  }
}

void PutCodes(const X16Format& format, const uint8_t* codes, std::byte* row_of_block) {
  WithCodeBits(format.code_bits, [&](auto code_bits) {
    for (int chunk = 0; chunk < format.chunks; ++chunk) {
      PutChunk<code_bits>(codes + chunk * kChunk, row_of_block + chunk * format.ChunkBytes());
    }
  });
}

void GetCodes(const X16Format& format, const std::byte* row_of_block, uint8_t* codes) {
  WithCodeBits(format.code_bits, [&](auto code_bits) {
    for (int chunk = 0; chunk < format.chunks; ++chunk) {
      GetChunk<code_bits>(row_of_block + chunk * format.ChunkBytes(), codes + chunk * kChunk);
    }
  });
}

// --- Blocks ------------------------------------------------------------------------------------

// The scale and the minimum of a group of row r, where both are there; as in the block.
void PutScaleAndMin(const X16Format& format, int g, int r, uint8_t scale, uint8_t min,
                    std::byte* block) {
  block[format.ScalesOffset() + g * kX16Rows + r] =
      static_cast<std::byte>((scale & 15) | (min & 15) << 4);
  if (format.scale_bits == 4) return;
  std::byte& high = block[format.HighOffset() + g / 2 * kX16Rows + r];
  if (g % 2 == 0) high = std::byte{0};
  high |= static_cast<std::byte>((scale >> 4 | min >> 4 << 2) << (g % 2 * 4));
}

ScaleMin GetScaleAndMin(const X16Format& format, int g, int r, const std::byte* block) {
  const int low = static_cast<int>(block[format.ScalesOffset() + g * kX16Rows + r]);
  if (format.scale_bits == 4) return {low & 15, low >> 4};
  const int both = static_cast<int>(block[format.HighOffset() + g / 2 * kX16Rows + r]);
  const int high = both >> (g % 2 * 4);
  return {(low & 15) | (high & 3) << 4, low >> 4 | (high >> 2 & 3) << 4};
}

void PutRow(const X16Format& format, const RowParts& row, int r, std::byte* block) {
  std::memcpy(block + 2 * r, &row.d, 2);
  if (format.has_mins) std::memcpy(block + format.MinOffset() + 2 * r, &row.dmin, 2);
  for (int g = 0; format.has_scales && g < format.Groups(); ++g) {
    if (format.has_mins) {
      PutScaleAndMin(format, g, r, static_cast<uint8_t>(row.scales[g]),
                     static_cast<uint8_t>(row.mins[g]), block);
    } else {
      block[format.ScalesOffset() + g * kX16Rows + r] = static_cast<std::byte>(row.scales[g]);
    }
  }
  PutCodes(format, row.codes, block + format.CodesOffset() + 4 * r);
}

// The bytes of one row of matrix e.
const std::byte* RowOf(const TensorView& weight, int64_t e, int64_t row) {
  if (weight.rank() == 2) return weight.Slice(row);
  return weight.Slice(e) + row * weight.row_bytes();
}

// The strip of matrix e that begins with the row.
void PackStrip(const TensorView& weight, int64_t e, int64_t first_row, std::byte* out) {
  const int index = X16FormatIndex(weight.dtype);
  const X16Format& format = kX16Formats[index];
  const int64_t block_bytes = Info(weight.dtype).bytes_per_block;
  const int64_t strip_bytes = X16StripBytes(format, weight.cols());
  const int64_t count = std::min<int64_t>(kX16Rows, weight.dim(-2) - first_row);
  if (count < kX16Rows) std::memset(out, 0, static_cast<size_t>(strip_bytes));
  for (int64_t r = 0; r < count; ++r) {
    const std::byte* from = RowOf(weight, e, first_row + r);
    for (int64_t b = 0; b < strip_bytes / format.BlockBytes(); ++b) {
      RowParts parts;
      kTakeApart[index](from + b * block_bytes, &parts);
      PutRow(format, parts, static_cast<int>(r), out + b * format.BlockBytes());
    }
  }
}

// A matrix is packed in parts of some megabytes, so that never much more than the packed weight is
// in memory, and a progress bar moves.
void Pack(const TensorView& weight, std::byte* out, const Threads& threads,
          const PartPacked& part_packed) {
  constexpr int64_t kPartBytes = 16 << 20;
  const int64_t rows = weight.dim(-2);
  const int64_t strip_bytes =
      X16StripBytes(kX16Formats[X16FormatIndex(weight.dtype)], weight.cols());
  const int64_t part_rows = std::max<int64_t>(1, kPartBytes / strip_bytes) * kX16Rows;
  for (int64_t e = 0; e < (weight.rank() == 2 ? 1 : weight.dim(0)); ++e) {
    for (int64_t first = 0; first < rows; first += part_rows) {
      const int64_t end = std::min(rows, first + part_rows);
      const int64_t strips = (end - first + kX16Rows - 1) / kX16Rows;
      threads.For(strips, 1, [&](int64_t begin_strip, int64_t end_strip, int) {
        for (int64_t i = begin_strip; i < end_strip; ++i) {
          PackStrip(weight, e, first + i * kX16Rows, out + i * strip_bytes);
        }
      });
      out += strips * strip_bytes;
      // Rows that stand apart from each other are too small to be worth letting go.
      const bool is_whole = weight.rank() == 3 || weight.slices.empty();
      const int64_t part_bytes = is_whole ? (end - first) * weight.row_bytes() : 0;
      part_packed({RowOf(weight, e, first), static_cast<size_t>(part_bytes)}, strips * strip_bytes);
    }
  }
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
  const int g = col / format.group;
  const auto codes = static_cast<float>(format.is_iq4 ? kIq4Values[code] : code - format.offset);
  const float d = HalfAt(block + 2 * r);
  if (!format.has_mins) {
    if (!format.has_scales) return d * codes;
    const auto scale = static_cast<int8_t>(block[format.ScalesOffset() + g * kX16Rows + r]);
    return d * static_cast<float>(scale) * codes;
  }
  const float dmin = HalfAt(block + format.MinOffset() + 2 * r);
  if (!format.has_scales) return d * codes - dmin;
  const ScaleMin small = GetScaleAndMin(format, g, r, block);
  return d * static_cast<float>(small.scale) * codes - dmin * static_cast<float>(small.min);
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
