// RandomBlocks and FillRandomBlocks of quantize.h.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

#include "absl/strings/str_format.h"
#include "graph/formats/blocks.h"
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
constexpr double MeanSquareOfIq4Values() {
  double sum = 0;
  for (const int8_t value : kIq4Values) sum += value * value;
  return sum / 16;
}

// How to make random bytes a valid block of a known spread: which bytes are f16 scales, and what
// the mean square of the decoded values is when the scale is 1 and all other bits are random. That
// of a product of independent numbers is the product of theirs.
struct BlockRecipe {
  static constexpr size_t kNoMin = SIZE_MAX;

  DType dtype;
  double mean_square;
  size_t scale_at;           // byte offset of d
  size_t min_at = kNoMin;    // byte offset of m or dmin
  double min_per_scale = 0;  // makes the mean of the decoded values 0
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
    {DType::kIQ4_NL, MeanSquareOfIq4Values(), offsetof(BlockIQ4_NL, d)},
    {DType::kIQ4_XS, MeanSquare(-32, 31) * MeanSquareOfIq4Values(), offsetof(BlockIQ4_XS, d)},
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

void FillBlocks(const BlockRecipe& recipe, uint64_t seed, float scale,
                absl::Span<std::byte> blocks) {
  SplitMix64 random(seed);
  const size_t block_bytes = static_cast<size_t>(Info(recipe.dtype).bytes_per_block);
  // d is unit * u with u uniform over 0.5 .. 1.5, whose mean square is 13/12.
  const auto unit = static_cast<float>(scale / std::sqrt(recipe.mean_square * 13 / 12));
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
    StoreF16At(d, &blocks[at + recipe.scale_at]);
  }
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
    if (recipe.dtype != dtype) continue;
    FillBlocks(recipe, seed, scale, blocks);
    return absl::OkStatus();
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
