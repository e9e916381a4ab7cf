#include "runtime/logprobs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sluice {

Logprobs::Logprobs(absl::Span<const float> logits) : logits_(logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - max);
  log_sum_ = max + std::log(sum);
}

std::vector<int32_t> Logprobs::Top(int64_t count) const {
  std::vector<int32_t> order(logits_.size());
  std::iota(order.begin(), order.end(), 0);
  const size_t kept = std::min(static_cast<size_t>(std::max<int64_t>(count, 0)), order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(kept), order.end(),
                    [this](int32_t a, int32_t b) {
                      const float of_a = logits_[static_cast<size_t>(a)];
                      const float of_b = logits_[static_cast<size_t>(b)];
                      return of_a != of_b ? of_a > of_b : a < b;
                    });
  order.resize(kept);
  return order;
}

}  // namespace sluice
