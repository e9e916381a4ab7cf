// Random weights, inputs and states for any graph, so that two graphs or two backends can be
// compared by numbers.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backends/backend.h"
#include "graph/graph.h"
#include "graph/weights.h"
#include "tools/debug/input_ranges.h"

namespace sluice {

class RandomData {
 public:
  // Data depends on names, types and the seed alone, so that a graph and its rewritten form get the
  // same. Symbols have `sizes`, or their bounds where it names none. Weights have a standard
  // deviation of 1/sqrt(columns), f32 inputs lie in -1 .. 1, i32 inputs in 0 .. 63, unless `ranges`
  // or, failing that, the ops that read them (RangesFor) say otherwise. Errors: a format without
  // random blocks, and InvalidArgument for more distinct values than a range has.
  static absl::StatusOr<RandomData> Make(const Graph& graph, uint64_t seed,
                                         const ValueRanges& ranges = {},
                                         const SymbolValues& sizes = {});

  const WeightTable& weights() const { return weights_; }

  // Compiles and runs the graph once, at those sizes, with fresh random states, and returns the
  // values of its outputs, then of the states that it updates.
  absl::StatusOr<std::vector<std::vector<float>>> Run(Backend& backend, const Graph& graph,
                                                      RunObserver* observer = nullptr) const;

 private:
  using Bytes = std::vector<std::byte>;
  absl::StatusOr<const Bytes*> AddSource(const Value& source);
  absl::StatusOr<std::vector<std::unique_ptr<Buffer>>> MakeStates(Backend& backend,
                                                                  const Graph& graph) const;

  uint64_t seed_ = 0;
  SymbolValues sizes_;
  ValueRanges ranges_;
  std::vector<std::unique_ptr<Bytes>> storage_;
  WeightTable weights_;
  std::map<std::string, const Bytes*> inputs_;
};

// Normalised mean squared error: sum (a-b)^2 / sum a^2 over everything; infinity if sizes differ or
// a value is not finite in one and not equal in the other.
double Nmse(const std::vector<std::vector<float>>& expected,
            const std::vector<std::vector<float>>& got);

// A tensor's numbers, whatever its dtype (one that can be decoded, or i32).
std::vector<float> ValuesOf(const TensorView& view);

}  // namespace sluice
