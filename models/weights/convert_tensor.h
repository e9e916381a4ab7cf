// A tensor's data from one format to another, on several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "graph/dtype.h"

namespace sluice {

struct ConvertOptions {
  int threads = 1;
  // Called on the caller's thread, now and then; false stops with a Cancelled error.
  std::function<bool(int64_t bytes)> on_written = {};
};

// `in` holds whole blocks of `from`, which has a decoder, or is equal to `to`: then it is copied as
// it is. `to` has an encoder; `out` has the size of the result. The result does not depend on the
// number of threads. InvalidArgument that names the first element which is no finite number of a
// size that `to` can hold: formats with scales of 16 bits end at 65504.
absl::Status ConvertTensor(DType from, absl::Span<const std::byte> in, DType to,
                           absl::Span<std::byte> out, const ConvertOptions& options);

}  // namespace sluice
