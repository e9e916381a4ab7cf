// In which way a graph fails, so that a smaller graph can be told to fail in the same way.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "backends/backend.h"
#include "graph/graph.h"
#include "tools/debug/verify.h"

namespace sluice {

struct Failure {
  // What compiling or running returned; OK if numbers differ.
  absl::Status status;
  std::string op;     // that the status names, or whose result is wrong; "" if unknown
  std::string value;  // the first wrong one, "%l0.q"; "" for an error
  std::string what;   // one line

  // An error of the same code that names the same op, or wrong numbers in both.
  bool IsLike(const Failure& other) const;
};

struct FailureOptions {
  double tolerance = 0;  // 0: DefaultTolerance of each graph
  uint64_t seed = 1;     // of the random data
  bool errors_only = false;
  bool as_is = false;         // GraphSetup's
  bool pass_by_pass = false;  // compare the stages of the pipeline for `got` on the reference
};

// Runs graphs on random data, on two backends. Both outlive the finder.
class FailureFinder {
 public:
  FailureFinder(Backend& expected, Backend& got, const FailureOptions& options)
      : expected_(expected), got_(got), options_(options) {}

  // nullopt if nothing fails. Where `expected` cannot run the graph, the graph proves nothing.
  std::optional<Failure> Find(const Graph& graph);

 private:
  absl::StatusOr<std::vector<StepComparison>> Compare(const Graph& graph);

  Backend& expected_;
  Backend& got_;
  FailureOptions options_;
};

}  // namespace sluice
