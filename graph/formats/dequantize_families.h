// The decoders by family, for dequantize.cc alone. To add a format: its structure in blocks.h, and
// in its family's file a function that decodes one block and a row that names it.
//
// Why results do not depend on how a compiler contracts a * b + c: in every format here the product
// of scale, sub-scale and quant has at most 24 significant bits, so that it is exact in binary32
// and a fused multiply-add rounds the same sum. A format for which this does not hold needs
// -ffp-contract=off.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "graph/dtype.h"
#include "graph/formats/dequantize.h"

namespace sluice {

struct Dequantizer {
  DType dtype;
  DequantizeFn decode;
};

// 32 elements with one scale, and perhaps a min.
absl::Span<const Dequantizer> LegacyDequantizers();
// 256 elements in groups with quantised scales, and perhaps mins.
absl::Span<const Dequantizer> KQuantDequantizers();
// Quants of 4 bits that index a table of values.
absl::Span<const Dequantizer> TableDequantizers();
// Quants of 1 bit, one digit in base 3, or 2 bits, with one scale.
absl::Span<const Dequantizer> LowBitDequantizers();
// Quants that index a grid of points of 4 or 8 elements.
absl::Span<const Dequantizer> GridDequantizers();

template <typename Block, void (*kDecodeBlock)(const Block&, float*)>
void DecodeBlocks(const std::byte* bytes, int64_t elements, float* out) {
  static_assert(alignof(Block) == 1);
  const auto* blocks = reinterpret_cast<const Block*>(bytes);
  const int64_t count = elements / Block::kElements;
  for (int64_t i = 0; i < count; ++i) kDecodeBlock(blocks[i], out + i * Block::kElements);
}

}  // namespace sluice
