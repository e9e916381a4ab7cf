#include "graph/formats/dequantize.h"

#include <bit>
#include <cstring>

#include "graph/formats/dequantize_families.h"
#include "graph/formats/half.h"

namespace sluice {
namespace {

// The numbers of model files are little-endian. Blocks are read byte by byte; plain numbers are
// not.
static_assert(std::endian::native == std::endian::little);

void DecodeF32(const std::byte* bytes, int64_t elements, float* out) {
  std::memcpy(out, bytes, static_cast<size_t>(elements) * sizeof(float));
}

template <float (*kConvert)(uint16_t)>
void DecodeHalves(const std::byte* bytes, int64_t elements, float* __restrict out) {
  for (int64_t i = 0; i < elements; ++i) {
    uint16_t bits;
    std::memcpy(&bits, bytes + i * 2, sizeof(bits));
    out[i] = kConvert(bits);
  }
}

constexpr Dequantizer kPlainFloats[] = {
    {DType::kF32, DecodeF32},
    {DType::kF16, DecodeHalves<F32FromF16>},
    {DType::kBF16, DecodeHalves<F32FromBf16>},
};

}  // namespace

DequantizeFn DequantizerFor(DType dtype) {
  const absl::Span<const Dequantizer> families[] = {kPlainFloats,         LegacyDequantizers(),
                                                    KQuantDequantizers(), TableDequantizers(),
                                                    LowBitDequantizers(), GridDequantizers()};
  for (const absl::Span<const Dequantizer> family : families) {
    for (const Dequantizer& row : family) {
      if (row.dtype == dtype) return row.decode;
    }
  }
  return nullptr;
}

}  // namespace sluice
