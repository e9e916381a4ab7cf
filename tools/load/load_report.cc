#include "tools/load/load_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice::load {
namespace {

using Json = nlohmann::ordered_json;

bool IsGood(const Completion& completion, const ServiceLevel& level) {
  if (level.first_seconds > 0 && completion.first > level.first_seconds) return false;
  if (level.gap_seconds <= 0 || completion.gaps.empty()) return true;
  const double sum = std::accumulate(completion.gaps.begin(), completion.gaps.end(), 0.0);
  return sum / static_cast<double>(completion.gaps.size()) <= level.gap_seconds;
}

Json PercentilesJson(const Percentiles& values) {
  return {{"p50", 1e3 * values.p50},
          {"p95", 1e3 * values.p95},
          {"p99", 1e3 * values.p99},
          {"max", 1e3 * values.max}};
}

std::string Row(absl::string_view name, const Percentiles& values) {
  return absl::StrFormat("| %-27s | %9.1f | %9.1f | %9.1f | %9.1f |\n", name, 1e3 * values.p50,
                         1e3 * values.p95, 1e3 * values.p99, 1e3 * values.max);
}

}  // namespace

Percentiles PercentilesOf(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto rank = [&](double part) {
    const auto at = static_cast<size_t>(std::ceil(part * static_cast<double>(values.size())));
    return values[std::max<size_t>(at, 1) - 1];
  };
  return {rank(0.50), rank(0.95), rank(0.99), values.back()};
}

LoadSummary Summarise(absl::Span<const TimedCompletion> completions, const ServiceLevel& level) {
  LoadSummary summary;
  std::vector<double> firsts, gaps, totals, lates;
  int64_t good = 0;
  double begin = completions.empty() ? 0 : completions[0].start, end = begin;
  for (const auto& [start, late, completion] : completions) {
    ++summary.requests;
    begin = std::min(begin, start);
    end = std::max(end, start + completion.total);
    lates.push_back(late);
    if (!completion.status.ok()) {
      ++summary.failed;
      ++summary.failures[std::string(completion.status.message())];
      continue;
    }
    summary.prompt_tokens += completion.prompt_tokens;
    summary.cached_tokens += completion.cached_tokens;
    summary.tokens += completion.tokens;
    firsts.push_back(completion.first);
    totals.push_back(completion.total);
    gaps.insert(gaps.end(), completion.gaps.begin(), completion.gaps.end());
    if (IsGood(completion, level)) ++good;
  }
  summary.seconds = end - begin;
  summary.first = PercentilesOf(std::move(firsts));
  summary.gap = PercentilesOf(std::move(gaps));
  summary.total = PercentilesOf(std::move(totals));
  summary.late = PercentilesOf(std::move(lates));
  if (summary.seconds > 0) summary.good_per_second = static_cast<double>(good) / summary.seconds;
  return summary;
}

std::string SummaryText(const LoadSummary& summary, const ServiceLevel& level) {
  std::string text = absl::StrFormat(
      "%d requests in %.1f s, %d failed; %.2f requests/s, %.1f tokens/s generated\n"
      "%d prompt tokens, %d of them cached; %d tokens generated\n\n",
      summary.requests, summary.seconds, summary.failed, summary.requests_per_second(),
      summary.tokens_per_second(), summary.prompt_tokens, summary.cached_tokens, summary.tokens);
  absl::StrAppendFormat(&text, "| %-27s | %9s | %9s | %9s | %9s |\n", "ms", "p50", "p95", "p99",
                        "max");
  absl::StrAppend(&text, "|:", std::string(27, '-'), "-|");
  for (int i = 0; i < 4; ++i) absl::StrAppend(&text, "----------:|");
  absl::StrAppend(&text, "\n", Row("to the first text", summary.first),
                  Row("between pieces of text", summary.gap), Row("to the end", summary.total));
  if (summary.late.max > 0) absl::StrAppend(&text, Row("sent late by", summary.late));
  if (level.first_seconds > 0 || level.gap_seconds > 0) {
    absl::StrAppendFormat(&text, "\n%.2f good requests/s\n", summary.good_per_second);
  }
  for (const auto& [message, count] : summary.failures) {
    absl::StrAppendFormat(&text, "\nfailed %d times: %s\n", count, message);
  }
  return text;
}

std::string SummaryJson(const LoadSummary& summary, const ServiceLevel& level) {
  const Json json = {{"requests", summary.requests},
                     {"failed", summary.failed},
                     {"failures", summary.failures},
                     {"seconds", summary.seconds},
                     {"prompt_tokens", summary.prompt_tokens},
                     {"cached_tokens", summary.cached_tokens},
                     {"tokens", summary.tokens},
                     {"requests_per_second", summary.requests_per_second()},
                     {"tokens_per_second", summary.tokens_per_second()},
                     {"first_text_ms", PercentilesJson(summary.first)},
                     {"between_texts_ms", PercentilesJson(summary.gap)},
                     {"total_ms", PercentilesJson(summary.total)},
                     {"late_ms", PercentilesJson(summary.late)},
                     {"service_level",
                      {{"first_text_ms", 1e3 * level.first_seconds},
                       {"between_texts_ms", 1e3 * level.gap_seconds}}},
                     {"good_requests_per_second", summary.good_per_second}};
  return json.dump(2) + "\n";
}

}  // namespace sluice::load
