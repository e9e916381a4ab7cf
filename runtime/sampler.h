// Choosing the next token from logits.
#pragma once

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/logit_rows.h"

namespace sluice {

// Names and defaults are llama.cpp's. They act in this order: logit_bias, penalties, top_k,
// typical_p, top_p, min_p, temperature.
struct SamplerOptions {
  double temperature = 0.8;      // 0: greedy, whatever the filters say
  int64_t top_k = 40;            // keep the K most likely; 0: all
  double typical_p = 1.0;        // locally typical sampling (Meister et al. 2022); 1: off
  double top_p = 0.95;           // nucleus (Holtzman et al. 2020); 1: off, 0: the likeliest
  double min_p = 0.05;           // keep p >= min_p * p_max; 0: off
  double repeat_penalty = 1.0;   // divides positive, multiplies negative logits; 1: off
  double frequency_penalty = 0;  // taken off a logit for each time that its token is there; 0: off
  double presence_penalty = 0;   // taken off once if it is there; 0: off
  int64_t repeat_last_n = 64;    // tokens that the penalties look back at; -1: all
  uint64_t seed = 0;
  // Added to the logits of tokens before all else; -inf rules one out. Tokens that the vocabulary
  // has not do not count.
  std::vector<std::pair<int32_t, float>> logit_bias = {};

  // InvalidArgument that names the option, its value and its range.
  absl::Status Check() const;

  bool has_penalties() const {
    return repeat_penalty != 1.0 || frequency_penalty != 0 || presence_penalty != 0;
  }
  // Whether no token but the k likeliest is ever looked at.
  bool ChoosesAmong(int64_t k) const {
    return !has_penalties() && logit_bias.empty() &&
           (temperature == 0 || (top_k > 0 && top_k <= k));
  }
};

class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options);

  // One value per token of the vocabulary. InvalidArgument if one is NaN or +inf, or if none is
  // finite: a broken model must not look like a working one. The same seed, options and logits
  // give the same tokens on every machine. `allowed`: the tokens to choose from, as in TokenFilter;
  // none: all. FailedPrecondition if the model rules out all of them.
  absl::StatusOr<int32_t> Sample(absl::Span<const float> logits,
                                 absl::Span<const uint64_t> allowed = {});

  // Draws the token, or gives the error, that Sample does for the whole row that `likeliest` is of.
  // `likeliest` has all tokens of that row, or the k likeliest where ChoosesAmong(k) is true.
  absl::StatusOr<int32_t> SampleLikeliest(const LogitRows& likeliest);

  // Tells the sampler of a token in the text, drawn or given, for the penalties.
  void Accept(int32_t token);

 private:
  struct Candidate {
    int32_t token;
    float logit;
    double probability;
  };
  struct Likelier;
  void AddAll(absl::Span<const float> logits);
  void AddAllowed(absl::Span<const float> logits, absl::Span<const uint64_t> allowed);
  absl::Status AddBias();
  void Penalise(size_t vocabulary);
  int32_t Choose();
  void KeepTopK(size_t k);
  void Softmax();
  void KeepTypical();
  void KeepTopP();
  void KeepMinP();
  int32_t Draw();

  SamplerOptions options_;
  std::mt19937_64 random_;
  // What the penalties look back at: how often each token is there, and, unless that is the whole
  // text, the last repeat_last_n tokens, of which next_ is the place of the oldest.
  std::vector<int32_t> counts_;
  std::vector<int32_t> window_;
  size_t next_ = 0;
  std::vector<Candidate> candidates_;  // of the current call
};

// The index of the largest value, the smallest such index for ties; errors as Sampler::Sample.
absl::StatusOr<int32_t> ArgMax(absl::Span<const float> logits);

}  // namespace sluice
