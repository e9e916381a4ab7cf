#include "tools/debug/perplexity.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "graph/status_macros.h"

namespace sluice {
namespace {

// ln of the sum of e^logit.
double LogSumExp(absl::Span<const float> logits) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - most);
  return most + std::log(sum);
}

Estimate MeanOf(double sum, double squares, int64_t count) {
  const auto n = static_cast<double>(count);
  const double mean = sum / n;
  const double variance = std::max(0.0, squares / n - mean * mean);
  return {mean, count > 1 ? std::sqrt(variance / (n - 1)) : 0};
}

}  // namespace

Prediction Predict(absl::Span<const float> logits, int32_t next) {
  const auto best = std::max_element(logits.begin(), logits.end());
  return {logits[static_cast<size_t>(next)] - LogSumExp(logits),
          static_cast<int32_t>(best - logits.begin())};
}

double KlDivergence(absl::Span<const float> p_logits, absl::Span<const float> q_logits) {
  const double p_sum = LogSumExp(p_logits), q_sum = LogSumExp(q_logits);
  double divergence = 0;
  for (size_t i = 0; i < p_logits.size(); ++i) {
    const double log_p = p_logits[i] - p_sum, log_q = q_logits[i] - q_sum;
    const double p = std::exp(log_p);
    if (p > 0) divergence += p * (log_p - log_q);
  }
  return std::max(0.0, divergence);  // rounding may take the sum of equal rows below zero
}

void PerplexityMeter::Add(double log_probability) {
  ++count_;
  sum_ -= log_probability;
  squares_ += log_probability * log_probability;
}

Estimate PerplexityMeter::perplexity() const {
  const Estimate mean = MeanOf(sum_, squares_, count_);
  const double value = std::exp(mean.value);
  return {value, value * mean.error};
}

void DivergenceMeter::Add(absl::Span<const float> base, absl::Span<const float> logits,
                          int32_t next) {
  const Prediction expected = Predict(base, next), got = Predict(logits, next);
  base_.Add(expected.log_probability);
  divergences_.push_back(KlDivergence(base, logits));
  same_best_ += expected.best == got.best;
  const double change = std::exp(got.log_probability) - std::exp(expected.log_probability);
  squared_changes_ += change * change;
}

DivergenceMeter::Report DivergenceMeter::report() const {
  std::vector<double> sorted = divergences_;
  std::sort(sorted.begin(), sorted.end());
  double sum = 0, squares = 0;
  for (double d : sorted) {
    sum += d;
    squares += d * d;
  }
  const auto count = static_cast<int64_t>(sorted.size());
  const auto quantile = [&](int percent) {
    return sorted[static_cast<size_t>((count - 1) * percent / 100)];
  };
  const auto n = static_cast<double>(count);
  return {.base_perplexity = base_.perplexity(),
          .mean = MeanOf(sum, squares, count),
          .median = quantile(50),
          .p99 = quantile(99),
          .max = sorted.back(),
          .same_best = static_cast<double>(same_best_) / n,
          .rms_probability_change = std::sqrt(squared_changes_ / n)};
}

int64_t TextWindows::size() const { return std::min(length, static_cast<int64_t>(ids.size())); }

int64_t TextWindows::count() const {
  return ids.empty() ? 0 : static_cast<int64_t>(ids.size()) / size();
}

absl::Status EvaluateWindows(Session& session, const TextWindows& windows, int64_t chunk,
                             const OnRow& on_row) {
  const std::unique_ptr<Sequence> sequence = session.NewSequence();
  const int64_t size = windows.size();
  std::vector<StepToken> step;
  for (int64_t begin = 0; begin < windows.tokens(); begin += size) {
    sequence->Truncate(0);
    for (int64_t done = 0; done < size; done += static_cast<int64_t>(step.size())) {
      step.clear();
      for (int64_t i = done; i < std::min(done + chunk, size); ++i) {
        const int32_t id = windows.ids[static_cast<size_t>(begin + i)];
        step.push_back({sequence.get(), i == 0 ? windows.first.value_or(id) : id, true});
      }
      SLUICE_ASSIGN_OR_RETURN(const absl::Span<const float> logits, session.Step(step));
      const size_t vocabulary = logits.size() / step.size();
      for (size_t row = 0; row < step.size(); ++row) {
        SLUICE_RETURN_IF_ERROR(on_row(begin + done + static_cast<int64_t>(row),
                                      logits.subspan(row * vocabulary, vocabulary)));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace sluice
