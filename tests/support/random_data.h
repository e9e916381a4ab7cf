// Random weights, inputs and states for any graph, so that two graphs or two backends can be
// compared by numbers.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "backends/backend.h"
#include "graph/graph.h"
#include "graph/weights.h"

namespace sluice {

// Inclusive range of an i32 input's values, by name. Inputs not named get {0, 0}, which is a valid
// index everywhere.
using IntRanges = std::map<std::string, std::pair<int32_t, int32_t>>;

class RandomData {
 public:
  // Data depends on names and the seed alone, so that a graph and its rewritten form get the same.
  // Symbols are at their bounds. Weights have a standard deviation of 1/sqrt(columns).
  static absl::StatusOr<RandomData> Make(const Graph& graph, uint64_t seed,
                                         const IntRanges& ranges = {});

  const WeightTable& weights() const { return weights_; }

  // Compiles and runs the graph once, with fresh random states, and returns its outputs' values.
  absl::StatusOr<std::vector<std::vector<float>>> Run(Backend& backend, const Graph& graph,
                                                      RunObserver* observer = nullptr) const;

 private:
  struct Tensor {
    std::string name;
    std::vector<std::byte> bytes;
  };
  absl::Status AddInput(const Value& input, const SymbolValues& symbols, const IntRanges& ranges);

  uint64_t seed_ = 0;
  std::vector<std::unique_ptr<Tensor>> storage_;
  WeightTable weights_;
  std::map<std::string, Tensor*> inputs_;
};

// Normalised mean squared error: sum (a-b)^2 / sum a^2 over everything; infinity if sizes differ or
// a value is not finite in one and not equal in the other.
double Nmse(const std::vector<std::vector<float>>& expected,
            const std::vector<std::vector<float>>& got);

}  // namespace sluice
