// Finds the first node where two runs of one step part: two backends, or two stages of the
// pipeline. Values are compared by name, so that the graphs need not be the same.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backends/backend.h"
#include "graph/graph.h"
#include "tools/debug/statistics.h"

namespace sluice {

struct ValueDifference {
  std::string name;    // "%l0.q"
  double nmse = 0;     // sum (a-b)^2 / sum a^2; infinite where one side alone is not finite
  double max_abs = 0;  // largest |a-b| of finite elements
  int64_t elements = 0;
};

// A node that computes something else than the other side, or NaN or Inf from finite operands.
struct Fault {
  struct Operand {
    std::string name;
    Statistics statistics;
    std::optional<double> nmse;  // absent where the other side has no such value
  };

  std::string node;  // its line of graph text
  std::string op;
  std::string name;    // of the result that is wrong, "%l0.q"
  std::string reason;  // one line
  std::vector<Operand> operands;
  std::optional<Statistics> expected;  // absent where only one side was looked at
  Statistics got;
};

struct Comparison {
  int64_t compared = 0;                     // values
  int64_t only_expected = 0, only_got = 0;  // values that one side alone has: fused or new
  bool one_sided = false;                   // there was nothing to compare with
  std::vector<ValueDifference> worst;       // the worst few, the worst one first
  std::optional<Fault> fault;               // the first, in order of execution

  // Values that were compared, or looked at where there was nothing to compare with.
  int64_t seen() const { return one_sided ? only_got : compared; }
};

struct CompareOptions {
  double tolerance = 0;  // largest NMSE of a value that passes
  size_t worst = 5;      // how many to report
};

// Runs a step with the observer. What a caller runs it on is the caller's matter.
using RunStep = std::function<absl::Status(RunObserver* observer)>;

// A copy of every value of a step, by name: as many bytes as all its values have in f32.
class Recording {
 public:
  // Errors: what the run returns.
  static absl::StatusOr<Recording> Of(const RunStep& step);
  Recording(Recording&&) noexcept;
  Recording& operator=(Recording&&) noexcept;
  ~Recording();

 private:
  friend class ComparisonBuilder;
  Recording();
  class Values;
  std::unique_ptr<Values> values_;
};

// Runs `got` and compares its values with the recorded ones as they come. Values of shapes that
// differ are a fault, and so are NaN and Inf where there were none before. Errors: what the run
// returns.
absl::StatusOr<Comparison> Compare(const Recording& expected, const RunStep& got,
                                   const CompareOptions& options);

// Runs `step` and finds the first node with NaN or Inf in a result and none in its operands.
absl::StatusOr<Comparison> FindNonFinite(const RunStep& step);

// How far a backend may be from the reference, as the NMSE of one value of a graph with such a
// cache, such casts or such layouts in it.
double DefaultTolerance(const Graph& graph);

// The same where both sides round to 8 bits. What lies next to a tie may go either way: 2^-7 of the
// largest of 32 numbers in a few of them, 2^-14 squared, and what follows differs enough for ties
// of its own. The embedded model has 2^-14 after 5 layers; a wrong scale has 2^-4 and more.
inline constexpr double kRoundedTo8Bits = 0x1p-10;

}  // namespace sluice
