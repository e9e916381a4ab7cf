// What clients have seen, in figures.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "tools/load/traffic.h"

namespace sluice::load {

// In seconds; all 0 if there is nothing.
struct Percentiles {
  double p50 = 0, p95 = 0, p99 = 0, max = 0;
};
// Nearest rank: the least value that at least so many in a hundred do not exceed.
Percentiles PercentilesOf(std::vector<double> values);

// What a request must keep to be good; 0: anything is.
struct ServiceLevel {
  double first_seconds = 0;  // until the first text
  double gap_seconds = 0;    // between pieces of text, on average
};

struct LoadSummary {
  int64_t requests = 0, failed = 0;
  std::map<std::string, int64_t> failures;  // by message
  double seconds = 0;                       // from the first request to the last answer
  int64_t prompt_tokens = 0, cached_tokens = 0, tokens = 0;
  Percentiles first, gap, total, late;
  double good_per_second = 0;  // requests that kept the service level

  double tokens_per_second() const {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
  }
  double requests_per_second() const {
    return seconds > 0 ? static_cast<double>(requests - failed) / seconds : 0;
  }
};

LoadSummary Summarise(absl::Span<const TimedCompletion> completions, const ServiceLevel& level);

std::string SummaryText(const LoadSummary& summary, const ServiceLevel& level);
std::string SummaryJson(const LoadSummary& summary, const ServiceLevel& level);

}  // namespace sluice::load
