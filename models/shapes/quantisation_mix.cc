#include "models/shapes/quantisation_mix.h"

namespace sluice {
namespace {

constexpr QuantisationMix kMixes[] = {
    {"F16", 1, DType::kF16},
    {"Q8_0", 7, DType::kQ8_0},
    {"Q4_0", 2, DType::kQ4_0},
    {"Q4_K_M", 15, DType::kQ4_K},
};

// In the "M" mixes these layers get more bits: the first and last eighth, and every third between.
bool HasMoreBits(int64_t layer, int64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

// With eight experts the attention is a small part of the file, and gets more bits.
bool HasEightExperts(const ModelShape& shape) { return shape.experts == 8; }

}  // namespace

absl::Span<const QuantisationMix> QuantisationMixes() { return kMixes; }

const QuantisationMix* FindQuantisationMix(absl::string_view name) {
  for (const QuantisationMix& mix : kMixes) {
    if (mix.name == name) return &mix;
  }
  return nullptr;
}

DType DTypeInMix(const QuantisationMix& mix, const ModelShape& shape, TensorRole role,
                 int64_t layer, int64_t layers) {
  if (role == TensorRole::kVector) return DType::kF32;
  if (mix.dtype == DType::kF16 || mix.dtype == DType::kQ8_0) return mix.dtype;
  const bool medium = mix.dtype == DType::kQ4_K;
  switch (role) {
    case TensorRole::kOutput:
      return DType::kQ6_K;
    case TensorRole::kEmbedding:
      return shape.tied_output ? DType::kQ6_K : mix.dtype;
    case TensorRole::kAttentionKey:
      return HasEightExperts(shape) ? DType::kQ8_0 : mix.dtype;
    case TensorRole::kAttentionValue:
      if (HasEightExperts(shape)) return DType::kQ8_0;
      return medium && HasMoreBits(layer, layers) ? DType::kQ6_K : mix.dtype;
    case TensorRole::kAttentionOutput:
      return medium && HasEightExperts(shape) ? DType::kQ5_K : mix.dtype;
    case TensorRole::kFeedForwardDown:
      return medium && HasMoreBits(layer, layers) ? DType::kQ6_K : mix.dtype;
    case TensorRole::kVector:
    case TensorRole::kMatrix:
      break;
  }
  return mix.dtype;
}

}  // namespace sluice
