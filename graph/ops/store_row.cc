#include "graph/ops/store_row.h"

#include <cstdint>
#include <cstdlib>

#include "graph/formats/quantize.h"

namespace sluice {

void StoreRow(absl::Span<const float> values, DType dtype, std::byte* out) {
  if (!IsPlainFloat(dtype)) std::abort();
  QuantizerFor(dtype)(values.data(), static_cast<int64_t>(values.size()), out);
}

}  // namespace sluice
