#include "tools/debug/compare.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "graph/status_macros.h"
#include "graph/text.h"
#include "tools/debug/random_data.h"

namespace sluice {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

ValueDifference Difference(std::string name, const std::vector<float>& expected,
                           const std::vector<float>& got) {
  ValueDifference difference{.name = std::move(name),
                             .elements = static_cast<int64_t>(expected.size())};
  double error = 0, power = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double a = expected[i], b = got[i];
    if (a == b || (std::isnan(a) && std::isnan(b))) {
      if (std::isfinite(a)) power += a * a;
    } else if (!std::isfinite(a) || !std::isfinite(b)) {
      error = kInfinity;
    } else {
      difference.max_abs = std::max(difference.max_abs, std::abs(a - b));
      error += (a - b) * (a - b);
      power += a * a;
    }
  }
  difference.nmse = error == 0 ? 0 : error / power;
  return difference;
}

}  // namespace

// Copies every result.
class Recording::Values : public RunObserver {
 public:
  void OnNode(const Node& node, absl::Span<const TensorView>, absl::Span<const TensorView> results,
              double) override {
    for (size_t i = 0; i < results.size(); ++i) {
      Value& recorded = values_[node.result(i)->ref()];
      recorded.dims.assign(results[i].dims.begin(), results[i].dims.end());
      recorded.values = ValuesOf(results[i]);
      recorded.statistics = StatisticsOf(results[i]);
    }
  }

  struct Value {
    std::vector<int64_t> dims;
    std::vector<float> values;
    Statistics statistics;
  };
  const Value* Find(const std::string& ref) const {
    const auto it = values_.find(ref);
    return it != values_.end() ? &it->second : nullptr;
  }
  size_t size() const { return values_.size(); }

 private:
  absl::flat_hash_map<std::string, Value> values_;
};

// Looks at results as they come and keeps the first fault.
class ComparisonBuilder : public RunObserver {
 public:
  // `expected` may be null: then only what is not finite is found.
  ComparisonBuilder(const Recording* expected, const CompareOptions& options)
      : expected_(expected != nullptr ? expected->values_.get() : nullptr), options_(options) {}

  void OnNode(const Node& node, absl::Span<const TensorView> operands,
              absl::Span<const TensorView> results, double) override {
    for (size_t i = 0; i < results.size(); ++i) {
      const std::string ref = node.result(i)->ref();
      Seen& seen = seen_[ref];
      seen.statistics = StatisticsOf(results[i]);
      std::string reason = CompareWithExpected(ref, results[i], &seen);
      if (reason.empty() && !seen.statistics.all_finite() && OperandsAreFinite(node, operands)) {
        reason = absl::StrCat(ref, " is not finite, although the operands are");
      }
      if (!reason.empty() && !result_.fault.has_value()) {
        result_.fault = MakeFault(node, ref, std::move(reason), operands);
      }
    }
  }

  Comparison Finish() && {
    std::stable_sort(result_.worst.begin(), result_.worst.end(),
                     [](const auto& a, const auto& b) { return a.nmse > b.nmse; });
    if (result_.worst.size() > options_.worst) result_.worst.resize(options_.worst);
    result_.one_sided = expected_ == nullptr;
    if (expected_ != nullptr) {
      result_.only_expected = static_cast<int64_t>(expected_->size()) - result_.compared;
    }
    return std::move(result_);
  }

 private:
  struct Seen {
    Statistics statistics;
    std::optional<double> nmse;
  };

  // Why the value is wrong; "" if it is not, or if there is nothing to compare it with.
  std::string CompareWithExpected(const std::string& ref, const TensorView& view, Seen* seen) {
    const Recording::Values::Value* expected =
        expected_ != nullptr ? expected_->Find(ref) : nullptr;
    if (expected == nullptr) {
      ++result_.only_got;
      return "";
    }
    ++result_.compared;
    if (!std::equal(view.dims.begin(), view.dims.end(), expected->dims.begin(),
                    expected->dims.end())) {
      return absl::StrCat(ref, " has another shape");
    }
    result_.worst.push_back(Difference(ref, expected->values, ValuesOf(view)));
    const double nmse = result_.worst.back().nmse;
    seen->nmse = nmse;
    if (nmse <= options_.tolerance) return "";
    if (nmse == kInfinity) return absl::StrCat(ref, " is not finite, or zero, on one side only");
    return absl::StrFormat("the NMSE of %s is %.3g, expected at most %.3g", ref, nmse,
                           options_.tolerance);
  }

  // Results are known since they were made: a later result may stand in their place by now.
  Fault::Operand Describe(const Value& operand, const TensorView& view) const {
    const auto seen = seen_.find(operand.ref());
    if (seen == seen_.end()) return {operand.ref(), StatisticsOf(view), std::nullopt};
    return {operand.ref(), seen->second.statistics, seen->second.nmse};
  }

  bool OperandsAreFinite(const Node& node, absl::Span<const TensorView> operands) const {
    for (size_t i = 0; i < operands.size(); ++i) {
      if (!operands[i].present()) continue;
      if (!Describe(*node.operand(i), operands[i]).statistics.all_finite()) return false;
    }
    return true;
  }

  Fault MakeFault(const Node& node, const std::string& ref, std::string reason,
                  absl::Span<const TensorView> operands) const {
    Fault fault{.node = Print(node),
                .op = node.op().name,
                .name = ref,
                .reason = std::move(reason),
                .got = seen_.at(ref).statistics};
    for (size_t i = 0; i < operands.size(); ++i) {
      if (operands[i].present()) fault.operands.push_back(Describe(*node.operand(i), operands[i]));
    }
    const Recording::Values::Value* expected =
        expected_ != nullptr ? expected_->Find(ref) : nullptr;
    if (expected != nullptr) fault.expected = expected->statistics;
    return fault;
  }

  const Recording::Values* expected_;
  const CompareOptions& options_;
  Comparison result_;
  absl::flat_hash_map<std::string, Seen> seen_;  // results so far
};

Recording::Recording() : values_(std::make_unique<Values>()) {}
Recording::Recording(Recording&&) noexcept = default;
Recording& Recording::operator=(Recording&&) noexcept = default;
Recording::~Recording() = default;

absl::StatusOr<Recording> Recording::Of(const RunStep& step) {
  Recording recording;
  SLUICE_RETURN_IF_ERROR(step(recording.values_.get()));
  return recording;
}

absl::StatusOr<Comparison> Compare(const Recording& expected, const RunStep& got,
                                   const CompareOptions& options) {
  ComparisonBuilder builder(&expected, options);
  SLUICE_RETURN_IF_ERROR(got(&builder));
  return std::move(builder).Finish();
}

absl::StatusOr<Comparison> FindNonFinite(const RunStep& step) {
  const CompareOptions options;
  ComparisonBuilder builder(nullptr, options);
  SLUICE_RETURN_IF_ERROR(step(&builder));
  return std::move(builder).Finish();
}

double DefaultTolerance(const Graph& graph) {
  // float32 sums of n products against float64 ones: a random walk of n roundings of 2^-24 each,
  // 3e-6 for n = 4096, squared 1e-11; a few dozen layers and the cancellation in them make it 1e-8.
  double tolerance = 1e-8;
  const auto look_at = [&](const Value& value) {
    // What lies next to a tie may be rounded down on one side and up on the other: a relative
    // difference of 2^-11 for f16 and 2^-8 for bf16 in a few of the values, squared.
    if (value.type().dtype == DType::kF16) tolerance = std::max(tolerance, 0x1p-22);
    if (value.type().dtype == DType::kBF16) tolerance = std::max(tolerance, 0x1p-16);
    if (value.type().dtype == DType::kQ8_0) tolerance = std::max(tolerance, kRoundedTo8Bits);
  };
  for (const auto& weight : graph.weights()) {
    if (!weight->layout().empty()) tolerance = std::max(tolerance, kRoundedTo8Bits);
  }
  for (const auto& state : graph.states()) look_at(*state);
  for (const auto& node : graph.nodes()) {
    for (const auto& result : node->results()) look_at(*result);
  }
  return tolerance;
}

}  // namespace sluice
