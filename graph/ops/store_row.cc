#include "graph/ops/store_row.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "graph/formats/half.h"

namespace sluice {
namespace {

template <uint16_t (*kConvert)(float)>
void Store16(absl::Span<const float> values, std::byte* out) {
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = kConvert(values[i]);
    std::memcpy(out + i * sizeof(bits), &bits, sizeof(bits));
  }
}

}  // namespace

void StoreRow(absl::Span<const float> values, DType dtype, std::byte* out) {
  switch (dtype) {
    case DType::kF32:
      if (!values.empty()) std::memcpy(out, values.data(), values.size() * sizeof(float));
      return;
    case DType::kF16:
      return Store16<F16FromF32>(values, out);
    case DType::kBF16:
      return Store16<Bf16FromF32>(values, out);
    default:
      std::abort();
  }
}

}  // namespace sluice
