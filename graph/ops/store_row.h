// Float32 values written as another plain float format. The way back is RowReader in shape_check.h.
#pragma once

#include <cstddef>

#include "absl/types/span.h"
#include "graph/dtype.h"

namespace sluice {

// Writes `values` as f32, f16 or bf16 (another dtype is a bug of the caller and aborts), rounded to
// nearest, ties to even. `out` may have any address.
void StoreRow(absl::Span<const float> values, DType dtype, std::byte* out);

}  // namespace sluice
