// How well a model predicts a text, and how far its predictions are from those of another run.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/session.h"

namespace sluice {

// A prediction of one token, in natural logarithms.
struct Prediction {
  double log_probability = 0;  // of the token that came next
  int32_t best = 0;            // the likeliest token; the first of equals
};
Prediction Predict(absl::Span<const float> logits, int32_t next);

// sum over tokens of p (ln p - ln q) >= 0, where p and q are the softmax of the two rows. In nats.
double KlDivergence(absl::Span<const float> p_logits, absl::Span<const float> q_logits);

struct Estimate {
  double value = 0;
  double error = 0;  // standard error
};

// exp(-mean ln p) over the predictions. The error is that of the mean, to first order.
class PerplexityMeter {
 public:
  void Add(double log_probability);
  int64_t count() const { return count_; }
  Estimate perplexity() const;

 private:
  int64_t count_ = 0;
  double sum_ = 0, squares_ = 0;
};

// Two runs over the same text: "base" is the one that the other is compared with.
class DivergenceMeter {
 public:
  void Add(absl::Span<const float> base, absl::Span<const float> logits, int32_t next);

  struct Report {
    Estimate base_perplexity, mean;
    double median = 0, p99 = 0, max = 0;
    double same_best = 0;               // share of positions with the same likeliest token
    double rms_probability_change = 0;  // of the token that came next
  };
  Report report() const;  // of at least one position

 private:
  PerplexityMeter base_;
  std::vector<double> divergences_;
  int64_t same_best_ = 0;
  double squared_changes_ = 0;
};

// A text in windows of equal length that know nothing of each other. What is left at the end is
// dropped, unless it is all there is.
struct TextWindows {
  std::vector<int32_t> ids;
  int64_t length = 512;          // of a window, at least 2
  std::optional<int32_t> first;  // stands in place of each window's first token

  int64_t size() const;  // of each window: `length`, or all of a shorter text
  int64_t count() const;
  int64_t tokens() const { return count() * size(); }
};

// Calls on_row(position in the text, logits after that token) for every position of every window,
// in order. A step has `chunk` tokens, at most what the session can give logits for.
using OnRow = std::function<absl::Status(int64_t position, absl::Span<const float> logits)>;
absl::Status EvaluateWindows(Session& session, const TextWindows& windows, int64_t chunk,
                             const OnRow& on_row);

}  // namespace sluice
