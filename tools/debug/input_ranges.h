// What the values of a graph's inputs must be for it to run: indices in range, slots that differ,
// offsets that ascend. So that any graph can be run on random data.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "graph/graph.h"

namespace sluice {

// Values of an i32 or f32 tensor.
struct ValueRange {
  using Order = IndexOrder;
  int64_t low = 0, high = 0;  // inclusive
  Order order = Order::kAny;
};

// By name of the input or weight, without its '%' or '@'.
using ValueRanges = std::map<std::string, ValueRange>;

// The ranges of all inputs and weights whose users care, where symbols have the given values. A
// value with several users gets what all accept; a view's users count as its operand's. Errors: a
// symbol without a value.
absl::StatusOr<ValueRanges> RangesFor(const Graph& graph, const SymbolValues& symbols);

}  // namespace sluice
