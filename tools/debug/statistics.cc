#include "tools/debug/statistics.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "graph/ops/shape_check.h"

namespace sluice {
namespace {

class Collector {
 public:
  void Add(double value) {
    ++result_.count;
    if (std::isnan(value)) {
      ++result_.nans;
    } else if (std::isinf(value)) {
      ++result_.infinities;
    } else {
      result_.min = finite_ == 0 ? value : std::min(result_.min, value);
      result_.max = finite_ == 0 ? value : std::max(result_.max, value);
      ++finite_;
      sum_ += value;
      squares_ += value * value;
    }
  }
  Statistics Finish() {
    if (finite_ > 0) {
      result_.mean = sum_ / static_cast<double>(finite_);
      result_.rms = std::sqrt(squares_ / static_cast<double>(finite_));
    }
    return result_;
  }

 private:
  Statistics result_;
  int64_t finite_ = 0;
  double sum_ = 0, squares_ = 0;
};

}  // namespace

std::string Statistics::ToString() const {
  std::string text =
      absl::StrFormat("min %.4g, max %.4g, mean %.4g, rms %.4g", min, max, mean, rms);
  if (nans > 0) absl::StrAppend(&text, "; ", nans, " of ", count, " NaN");
  if (infinities > 0) absl::StrAppend(&text, "; ", infinities, " of ", count, " infinite");
  return text;
}

Statistics StatisticsOf(const TensorView& view) {
  Collector collector;
  if (view.dtype == DType::kI32) {
    for (int64_t i = 0; i < view.elements(); ++i) collector.Add(view.i32()[i]);
    return collector.Finish();
  }
  RowReader reader(view);
  for (int64_t row = 0; row < view.rows(); ++row) {
    const float* values = reader.Row(row);
    for (int64_t i = 0; i < view.cols(); ++i) collector.Add(values[i]);
  }
  return collector.Finish();
}

}  // namespace sluice
