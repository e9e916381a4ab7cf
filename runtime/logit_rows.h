// What a step says of the tokens that may come next.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace sluice {

// kLikeliest: the most likely tokens are enough. Where a device would have to copy whole rows to
// the host, it chooses these itself.
enum class RowForm : uint8_t { kWhole, kLikeliest };

// Tokens of a row in the form kLikeliest: as many as common settings of top_k want, and few enough
// to cost nothing to copy.
inline constexpr int64_t kLikeliest = 64;

// Logits, row by row, of all rows the same number.
struct LogitRows {
  absl::Span<const float> values;
  // The token of each value, the likeliest first and of equal ones the smaller token first. Empty:
  // rows are whole, the value i of a row is that of token i.
  absl::Span<const int32_t> tokens = {};

  bool is_whole() const { return tokens.empty(); }
  // `count` values from `begin` on.
  LogitRows Part(size_t begin, size_t count) const {
    return {values.subspan(begin, count), is_whole() ? tokens : tokens.subspan(begin, count)};
  }
};

}  // namespace sluice
