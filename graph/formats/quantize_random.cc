// RandomBlocks and FillRandomBlocks of quantize.h.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

#include "absl/strings/str_format.h"
#include "graph/formats/blocks.h"
#include "graph/formats/grids.h"
#include "graph/formats/quantize.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

// SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
class SplitMix64 {
 public:
  explicit SplitMix64(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

// Mean and mean square of an integer that is uniform over low .. high.
constexpr double Mean(int low, int high) { return 0.5 * (low + high); }
constexpr double MeanSquare(int low, int high) {
  const double width = high - low + 1;
  return (width * width - 1) / 12 + Mean(low, high) * Mean(low, high);
}
// Mean square of the first 2^bits odd numbers.
constexpr double MeanSquareOfOdd(int bits) {
  const double count = 1 << bits;
  return (4 * count * count - 1) / 3;
}
constexpr double MeanSquareOf(const int8_t (&values)[16]) {
  double sum = 0;
  for (const int8_t value : values) sum += value * value;
  return sum / 16;
}
template <size_t kWidth, size_t kCount>
constexpr double MeanSquareOf(const Grid<kWidth, kCount>& grid) {
  double sum = 0;
  for (const auto& point : grid) {
    for (const int8_t value : point) sum += value * value;
  }
  return sum / (kWidth * kCount);
}

// Writes d into a block that does not hold it as an f16 number in one place. `dice`: 32 random
// bits.
using StoreScaleFn = void (*)(float d, uint32_t dice, std::byte* block);

// The one of the two neighbours of |d| among the ascending values of codes 0 .. top that a die of
// 256 sides chooses, so that the mean square stays d^2.
template <float (*kValue)(uint8_t)>
uint8_t RandomNeighbour(float d, uint8_t top, uint32_t die) {
  const double wanted = static_cast<double>(d) * d;
  const auto square = [](int code) {
    const double value = kValue(static_cast<uint8_t>(code));
    return value * value;
  };
  int code = 0;
  for (int step = 128; step > 0; step /= 2) {
    if (code + step < top && square(code + step) <= wanted) code += step;
  }
  const double low = square(code);
  const bool up = (square(code + 1) - low) * (die & 255) < (wanted - low) * 256;
  return static_cast<uint8_t>(up ? code + 1 : code);
}

constexpr uint8_t kTopE8M0 = 254;    // the last before NaN
constexpr uint8_t kTopUE4M3 = 0x7e;  // likewise

void StoreScaleMXFP4(float d, uint32_t dice, std::byte* block) {
  const uint8_t e = RandomNeighbour<HalfOfE8M0>(d, kTopE8M0, dice);
  block[offsetof(BlockMXFP4, e)] = std::byte{e};
}

void StoreScaleNVFP4(float d, uint32_t dice, std::byte* block) {
  for (size_t group = 0; group < 4; ++group) {
    const uint8_t code = RandomNeighbour<HalfOfUE4M3>(d, kTopUE4M3, dice >> (8 * group));
    block[offsetof(BlockNVFP4, d) + group] = std::byte{code};
  }
}

void StoreScaleIQ1M(float d, uint32_t /*dice*/, std::byte* block) {
  const int bits = F16FromF32(d);
  for (size_t i = 0; i < 4; ++i) {
    std::byte& high = block[offsetof(BlockIQ1_M, scales) + 2 * i + 1];
    const auto nibble = static_cast<std::byte>(bits >> (4 * i) & 15);
    high = (high & std::byte{15}) | nibble << 4;
  }
}

// How to make random bytes a valid block of a known spread: which bytes are f16 scales, and what
// the mean square of the decoded values is when the scale is 1 and all other bits are random. That
// of a product of independent numbers is the product of theirs.
struct BlockRecipe {
  static constexpr size_t kNoMin = SIZE_MAX;

  DType dtype;
  double mean_square;
  size_t scale_at = 0;                 // byte offset of d
  size_t min_at = kNoMin;              // byte offset of m or dmin
  double min_per_scale = 0;            // makes the mean of the decoded values 0
  StoreScaleFn store_scale = nullptr;  // what to do instead of storing at scale_at
  float top_scale = 65504;             // the largest d that a block can hold
};

// d * q + m with q uniform over 0 .. top.
constexpr BlockRecipe Affine(DType dtype, int top, size_t scale_at, size_t min_at) {
  const double mean = Mean(0, top);
  return {dtype, MeanSquare(0, top) - mean * mean, scale_at, min_at, -mean};
}

// d * s * q - dmin * m with q uniform over 0 .. top, s and m over 0 .. sub_top: the mean square of
// s * q - r * m with r = mean(q).
constexpr BlockRecipe SubScaled(DType dtype, int top, int sub_top, size_t scale_at, size_t min_at) {
  const double r = Mean(0, top);
  const double s = Mean(0, sub_top);
  const double ss = MeanSquare(0, sub_top);
  return {dtype, ss * MeanSquare(0, top) + r * r * (ss - 2 * s * s), scale_at, min_at, r};
}

// d * unit * (2 s + 1) * point, s of `bits` bits.
template <typename Block>
constexpr BlockRecipe Points(DType dtype, double unit, int bits, double mean_square_of_point) {
  return {dtype, unit * unit * MeanSquareOfOdd(bits) * mean_square_of_point, offsetof(Block, d)};
}

// A point of IQ1 shifted by -1 or 1.
constexpr double kMeanSquareIQ1 = MeanSquareOf(kGridIQ1) + 1;

// Of 256 fractions 86 have a first digit of 0, and 85 each one of 1 and 2.
constexpr double kMeanSquareOfTrit = (86.0 + 85.0) / 256;

constexpr BlockRecipe kRecipes[] = {
    {DType::kQ4_0, MeanSquare(-8, 7), offsetof(BlockQ4_0, d)},
    Affine(DType::kQ4_1, 15, offsetof(BlockQ4_1, d), offsetof(BlockQ4_1, m)),
    {DType::kQ5_0, MeanSquare(-16, 15), offsetof(BlockQ5_0, d)},
    Affine(DType::kQ5_1, 31, offsetof(BlockQ5_1, d), offsetof(BlockQ5_1, m)),
    {DType::kQ8_0, MeanSquare(-128, 127), offsetof(BlockQ8_0, d)},
    SubScaled(DType::kQ2_K, 3, 15, offsetof(BlockQ2_K, d), offsetof(BlockQ2_K, dmin)),
    {DType::kQ3_K, MeanSquare(-32, 31) * MeanSquare(-4, 3), offsetof(BlockQ3_K, d)},
    SubScaled(DType::kQ4_K, 15, 63, offsetof(BlockQ4_K, d), offsetof(BlockQ4_K, dmin)),
    SubScaled(DType::kQ5_K, 31, 63, offsetof(BlockQ5_K, d), offsetof(BlockQ5_K, dmin)),
    {DType::kQ6_K, MeanSquare(-128, 127) * MeanSquare(-32, 31), offsetof(BlockQ6_K, d)},
    {DType::kIQ4_NL, MeanSquareOf(kIq4Values), offsetof(BlockIQ4_NL, d)},
    {DType::kIQ4_XS, MeanSquare(-32, 31) * MeanSquareOf(kIq4Values), offsetof(BlockIQ4_XS, d)},
    Points<BlockIQ1_S>(DType::kIQ1_S, 0.125, 3, kMeanSquareIQ1),
    {.dtype = DType::kIQ1_M,
     .mean_square = MeanSquareOfOdd(3) * kMeanSquareIQ1 / 64,
     .store_scale = StoreScaleIQ1M},
    Points<BlockIQ2_XXS>(DType::kIQ2_XXS, 0.125, 4, MeanSquareOf(kGridIQ2XXS)),
    Points<BlockIQ2_XS>(DType::kIQ2_XS, 0.125, 4, MeanSquareOf(kGridIQ2XS)),
    Points<BlockIQ2_S>(DType::kIQ2_S, 0.125, 4, MeanSquareOf(kGridIQ2S)),
    Points<BlockIQ3_XXS>(DType::kIQ3_XXS, 0.25, 4, MeanSquareOf(kGridIQ3XXS)),
    Points<BlockIQ3_S>(DType::kIQ3_S, 1, 4, MeanSquareOf(kGridIQ3S)),
    {DType::kTQ1_0, kMeanSquareOfTrit, offsetof(BlockTQ1_0, d)},
    {DType::kTQ2_0, MeanSquare(-1, 2), offsetof(BlockTQ2_0, d)},
    {.dtype = DType::kMXFP4,
     .mean_square = MeanSquareOf(kFp4Values),
     .store_scale = StoreScaleMXFP4},
    {.dtype = DType::kNVFP4,
     .mean_square = MeanSquareOf(kFp4Values),
     .store_scale = StoreScaleNVFP4,
     .top_scale = 224},
    {DType::kQ1_0, 1, offsetof(BlockQ1_0, d)},
    {DType::kQ2_0, MeanSquare(-1, 2), offsetof(BlockQ2_0, d)},
};

void StoreF16At(float value, std::byte* at) {
  const uint16_t bits = F16FromF32(value);
  std::memcpy(at, &bits, sizeof(bits));
}

void FillBytes(SplitMix64& random, absl::Span<std::byte> out) {
  for (size_t i = 0; i < out.size(); i += sizeof(uint64_t)) {
    const uint64_t bits = random.Next();
    std::memcpy(&out[i], &bits, std::min(sizeof(bits), out.size() - i));
  }
}

void StoreScale(const BlockRecipe& recipe, float d, uint32_t dice, std::byte* block) {
  if (recipe.store_scale != nullptr) {
    recipe.store_scale(d, dice, block);
  } else {
    StoreF16At(d, block + recipe.scale_at);
  }
}

absl::Status FillBlocks(const BlockRecipe& recipe, uint64_t seed, float scale,
                        absl::Span<std::byte> blocks) {
  SplitMix64 random(seed);
  const size_t block_bytes = static_cast<size_t>(Info(recipe.dtype).bytes_per_block);
  // d is unit * u with u uniform over 0.5 .. 1.5, whose mean square is 13/12.
  const auto unit = static_cast<float>(scale / std::sqrt(recipe.mean_square * 13 / 12));
  if (1.5f * unit > recipe.top_scale) {
    return absl::InvalidArgumentError(
        absl::StrFormat("random %s weights: standard deviation %g needs scales of %g, and the "
                        "largest of this format is %g",
                        Name(recipe.dtype), scale, 1.5f * unit, recipe.top_scale));
  }
  const bool has_min = recipe.min_at != BlockRecipe::kNoMin;
  for (size_t at = 0; at < blocks.size(); at += block_bytes) {
    FillBytes(random, blocks.subspan(at, block_bytes));
    const uint64_t bits = random.Next();
    float d = unit * (0.5f + 0x1p-24f * static_cast<float>(bits >> 40));
    if (has_min) {
      StoreF16At(d * static_cast<float>(recipe.min_per_scale), &blocks[at + recipe.min_at]);
    } else if (bits & 1) {
      d = -d;
    }
    StoreScale(recipe, d, static_cast<uint32_t>(bits >> 8), &blocks[at]);
  }
  return absl::OkStatus();
}

// The sum of four uniform 16-bit numbers: bell-shaped, and exact on every machine, which the
// logarithm of the usual method is not.
void FillFloats(QuantizeFn encode, int64_t bytes_per_value, uint64_t seed, float scale,
                absl::Span<std::byte> out) {
  SplitMix64 random(seed);
  constexpr int kMeanSum = 2 * 65535;
  constexpr float kDeviation = 37837.2270f;  // 2^16 / sqrt(3)
  const float unit = scale / kDeviation;
  for (size_t at = 0; at < out.size(); at += static_cast<size_t>(bytes_per_value)) {
    const uint64_t bits = random.Next();
    int sum = -kMeanSum;
    for (int shift = 0; shift < 64; shift += 16) sum += static_cast<int>((bits >> shift) & 0xffff);
    const float value = unit * static_cast<float>(sum);
    encode(&value, 1, &out[at]);
  }
}

}  // namespace

absl::Status FillRandomBlocks(DType dtype, uint64_t seed, float scale,
                              absl::Span<std::byte> blocks) {
  if (!(scale >= 1e-3f && scale <= 1e4f)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "random %s weights: standard deviation %g is not in 1e-3 .. 1e4", Name(dtype), scale));
  }
  const int64_t bytes_per_block = Info(dtype).bytes_per_block;
  if (blocks.size() % static_cast<size_t>(bytes_per_block) != 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("random %s weights: %d bytes are not a multiple of the block size %d",
                        Name(dtype), blocks.size(), bytes_per_block));
  }
  if (IsPlainFloat(dtype)) {
    FillFloats(QuantizerFor(dtype), bytes_per_block, seed, scale, blocks);
    return absl::OkStatus();
  }
  for (const BlockRecipe& recipe : kRecipes) {
    if (recipe.dtype == dtype) return FillBlocks(recipe, seed, scale, blocks);
  }
  return absl::UnimplementedError(
      absl::StrFormat("random %s weights: there is no recipe for this format", Name(dtype)));
}

absl::StatusOr<std::vector<std::byte>> RandomBlocks(DType dtype, int64_t elements, uint64_t seed,
                                                    float scale) {
  const std::optional<int64_t> bytes = ByteSize(dtype, elements);
  if (!bytes) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "random %s weights: %d elements are not a valid multiple of the block size %d", Name(dtype),
        elements, Info(dtype).elements_per_block));
  }
  std::vector<std::byte> blocks(static_cast<size_t>(*bytes));
  SLUICE_RETURN_IF_ERROR(FillRandomBlocks(dtype, seed, scale, absl::MakeSpan(blocks)));
  return blocks;
}

}  // namespace sluice
