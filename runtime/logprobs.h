// How likely tokens are, by logits as the model gave them: no penalty, filter or temperature
// counts.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace sluice {

class Logprobs {
 public:
  // `logits` are finite or -inf, at least one of them finite, and outlive the object.
  explicit Logprobs(absl::Span<const float> logits);

  // The natural logarithm of the token's probability.
  double Of(int32_t token) const { return logits_[static_cast<size_t>(token)] - log_sum_; }
  // The `count` likeliest tokens, the likeliest first, of equal ones the smaller token first.
  std::vector<int32_t> Top(int64_t count) const;

 private:
  absl::Span<const float> logits_;
  double log_sum_;  // of the exponentials of all logits
};

}  // namespace sluice
