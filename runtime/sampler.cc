#include "runtime/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

bool IsBelowInfinity(float logit) { return logit < std::numeric_limits<float>::infinity(); }

absl::Status NotFinite(int32_t token, float logit) {
  return absl::InvalidArgumentError(absl::StrCat("the logit of token ", token, " is ",
                                                 std::isnan(logit) ? "NaN" : "inf",
                                                 ": the model's output is not finite"));
}

absl::Status NothingFinite() {
  return absl::InvalidArgumentError("no logit is finite (all are -inf): nothing to choose from");
}

}  // namespace

absl::Status SamplerOptions::Check() const {
  const auto check = [](bool ok, absl::string_view name, double value, absl::string_view range) {
    return ok ? absl::OkStatus()
              : absl::InvalidArgumentError(absl::StrCat(name, " is ", value, ", expected ", range));
  };
  // Comparisons are written so that NaN fails them.
  SLUICE_RETURN_IF_ERROR(check(temperature >= 0 && temperature <= 1e6, "temperature", temperature,
                               "a number from 0 to 1e6"));
  SLUICE_RETURN_IF_ERROR(check(top_k >= 0, "top_k", static_cast<double>(top_k), "0 or more"));
  SLUICE_RETURN_IF_ERROR(
      check(typical_p > 0 && typical_p <= 1, "typical_p", typical_p, "more than 0, at most 1"));
  SLUICE_RETURN_IF_ERROR(check(top_p >= 0 && top_p <= 1, "top_p", top_p, "0 to 1"));
  SLUICE_RETURN_IF_ERROR(check(min_p >= 0 && min_p <= 1, "min_p", min_p, "0 to 1"));
  SLUICE_RETURN_IF_ERROR(check(repeat_penalty > 0 && repeat_penalty <= 1e6, "repeat_penalty",
                               repeat_penalty, "more than 0, at most 1e6"));
  SLUICE_RETURN_IF_ERROR(check(std::abs(frequency_penalty) <= 100, "frequency_penalty",
                               frequency_penalty, "-100 to 100"));
  SLUICE_RETURN_IF_ERROR(check(std::abs(presence_penalty) <= 100, "presence_penalty",
                               presence_penalty, "-100 to 100"));
  return check(repeat_last_n >= -1, "repeat_last_n", static_cast<double>(repeat_last_n),
               "-1 or more");
}

absl::StatusOr<int32_t> ArgMax(absl::Span<const float> logits) {
  size_t best = logits.size();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!IsBelowInfinity(logits[i])) return NotFinite(static_cast<int32_t>(i), logits[i]);
    if (std::isfinite(logits[i]) && (best == logits.size() || logits[i] > logits[best])) best = i;
  }
  if (best == logits.size()) return NothingFinite();
  return static_cast<int32_t>(best);
}

// By falling logit; of equal ones the smaller token first.
struct Sampler::Likelier {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  }
};

Sampler::Sampler(const SamplerOptions& options) : options_(options), random_(options.seed) {
  constexpr int64_t kMostReserved = 4096;  // a longer window grows with the text
  window_.reserve(
      static_cast<size_t>(std::clamp<int64_t>(options.repeat_last_n, 0, kMostReserved)));
}

void Sampler::Accept(int32_t token) {
  if (!options_.has_penalties() || options_.repeat_last_n == 0 || token < 0) return;
  const auto t = static_cast<size_t>(token);
  if (t >= counts_.size()) counts_.resize(t + 1);
  ++counts_[t];
  if (options_.repeat_last_n < 0) return;
  if (window_.size() < static_cast<size_t>(options_.repeat_last_n)) {
    window_.push_back(token);
    return;
  }
  --counts_[static_cast<size_t>(std::exchange(window_[next_], token))];
  next_ = (next_ + 1) % window_.size();
}

void Sampler::AddAll(absl::Span<const float> logits) {
  for (size_t i = 0; i < logits.size(); ++i) {
    candidates_.push_back({static_cast<int32_t>(i), logits[i], 0});
  }
}

void Sampler::AddAllowed(absl::Span<const float> logits, absl::Span<const uint64_t> allowed) {
  for (size_t word = 0; word < allowed.size(); ++word) {
    for (uint64_t bits = allowed[word]; bits != 0; bits &= bits - 1) {
      const size_t token = word * 64 + static_cast<size_t>(std::countr_zero(bits));
      if (token >= logits.size() || !std::isfinite(logits[token])) continue;
      candidates_.push_back({static_cast<int32_t>(token), logits[token], 0});
    }
  }
}

absl::StatusOr<int32_t> Sampler::Sample(absl::Span<const float> logits,
                                        absl::Span<const uint64_t> allowed) {
  SLUICE_RETURN_IF_ERROR(ArgMax(logits).status());
  candidates_.clear();
  if (allowed.empty()) {
    AddAll(logits);
  } else {
    AddAllowed(logits, allowed);
  }
  if (candidates_.empty()) {
    return absl::FailedPreconditionError(
        "the model rules out (by a logit of -inf) every token that the constraint allows");
  }
  SLUICE_RETURN_IF_ERROR(AddBias());
  Penalise(logits.size());
  return Choose();
}

absl::StatusOr<int32_t> Sampler::SampleLikeliest(const LogitRows& likeliest) {
  // NaN and +inf would come first, so that the first value tells whether there are any.
  const float largest = likeliest.values[0];
  if (!IsBelowInfinity(largest)) return NotFinite(likeliest.tokens[0], largest);
  if (!std::isfinite(largest)) return NothingFinite();
  candidates_.clear();
  for (size_t i = 0; i < likeliest.values.size(); ++i) {
    candidates_.push_back({likeliest.tokens[i], likeliest.values[i], 0});
  }
  return Choose();
}

// From the candidates, of which there is at least one.
int32_t Sampler::Choose() {
  const bool greedy = options_.temperature == 0;
  KeepTopK(greedy ? 1 : static_cast<size_t>(options_.top_k));
  if (greedy) return candidates_.front().token;
  KeepTypical();
  KeepTopP();
  KeepMinP();
  return Draw();
}

// The candidates are in the order of their tokens.
absl::Status Sampler::AddBias() {
  if (options_.logit_bias.empty()) return absl::OkStatus();
  for (const auto& [token, bias] : options_.logit_bias) {
    const auto it = std::lower_bound(
        candidates_.begin(), candidates_.end(), token,
        [](const Candidate& candidate, int32_t wanted) { return candidate.token < wanted; });
    if (it != candidates_.end() && it->token == token) it->logit += bias;
  }
  const bool is_left = std::any_of(candidates_.begin(), candidates_.end(),
                                   [](const Candidate& c) { return std::isfinite(c.logit); });
  if (is_left) return absl::OkStatus();
  return absl::FailedPreconditionError("logit_bias rules out every token that may come");
}

// CTRL's repetition penalty (Keskar et al. 2019), with the sign handled as llama.cpp does, then
// OpenAI's penalties, which are differences.
void Sampler::Penalise(size_t vocabulary) {
  if (!options_.has_penalties()) return;
  if (counts_.size() < vocabulary) counts_.resize(vocabulary);
  const auto penalty = static_cast<float>(options_.repeat_penalty);
  const auto frequency = static_cast<float>(options_.frequency_penalty);
  const auto presence = static_cast<float>(options_.presence_penalty);
  for (Candidate& c : candidates_) {
    const int32_t count = counts_[static_cast<size_t>(c.token)];
    if (count == 0) continue;
    c.logit = c.logit > 0 ? c.logit / penalty : c.logit * penalty;
    c.logit -= static_cast<float>(count) * frequency + presence;
  }
}

// Sorts and cuts; 0 keeps all.
void Sampler::KeepTopK(size_t k) {
  k = k == 0 ? candidates_.size() : std::min(k, candidates_.size());
  std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(k),
                    candidates_.end(), Likelier());
  candidates_.resize(k);
}

void Sampler::Softmax() {
  const float max = std::max_element(candidates_.begin(), candidates_.end(), [](auto& a, auto& b) {
                      return a.logit < b.logit;
                    })->logit;
  double sum = 0;
  for (Candidate& c : candidates_) sum += c.probability = std::exp(double{c.logit} - double{max});
  for (Candidate& c : candidates_) c.probability /= sum;
}

void Sampler::KeepTypical() {
  if (options_.typical_p >= 1) return;
  Softmax();
  double entropy = 0;
  for (const Candidate& c : candidates_) {
    if (c.probability > 0) entropy -= c.probability * std::log(c.probability);
  }
  const auto surprise = [&](const Candidate& c) {
    return c.probability > 0 ? std::abs(-std::log(c.probability) - entropy)
                             : std::numeric_limits<double>::infinity();
  };
  std::sort(candidates_.begin(), candidates_.end(), [&](const Candidate& a, const Candidate& b) {
    const double of_a = surprise(a), of_b = surprise(b);
    return of_a != of_b ? of_a < of_b : Likelier()(a, b);
  });
  double sum = 0;
  size_t kept = 0;
  while (kept < candidates_.size() && sum < options_.typical_p)
    sum += candidates_[kept++].probability;
  candidates_.resize(std::max<size_t>(kept, 1));
  KeepTopK(0);  // by falling logit again
}

void Sampler::KeepTopP() {
  if (options_.top_p >= 1) return;
  Softmax();
  double sum = 0;
  size_t kept = 0;
  while (kept < candidates_.size() && sum < options_.top_p) sum += candidates_[kept++].probability;
  candidates_.resize(std::max<size_t>(kept, 1));
}

void Sampler::KeepMinP() {
  if (options_.min_p <= 0) return;
  Softmax();
  const double limit = options_.min_p * candidates_.front().probability;
  std::erase_if(candidates_, [&](const Candidate& c) { return c.probability < limit; });
}

int32_t Sampler::Draw() {
  for (Candidate& c : candidates_) c.logit /= static_cast<float>(options_.temperature);
  Softmax();
  // 53 random bits, so that the draw does not depend on a library's distribution.
  const double point = static_cast<double>(random_() >> 11) * 0x1p-53;
  double sum = 0;
  for (const Candidate& c : candidates_) {
    sum += c.probability;
    if (point < sum) return c.token;
  }
  return candidates_.back().token;
}

}  // namespace sluice
