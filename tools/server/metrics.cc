#include "tools/server/metrics.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice::server {
namespace {

void PrintHead(absl::string_view name, absl::string_view type, absl::string_view help,
               std::string* out) {
  absl::StrAppendFormat(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

struct Value {
  absl::string_view name, type, help;
  double value;
};

void Print(const Value& value, std::string* out) {
  PrintHead(value.name, value.type, value.help, out);
  absl::StrAppendFormat(out, "%s %.15g\n", value.name, value.value);
}

void PrintThread(const ModelThreadState& s, std::string* out) {
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  for (const Value& value : std::initializer_list<Value>{
           {"sluice_requests_running", "gauge", "Answers that are generated now.",
            number(s.running)},
           {"sluice_requests_waiting", "gauge", "Answers that wait for a place.",
            number(s.waiting)},
           {"sluice_steps_total", "counter", "Steps of the model.", number(s.counters.steps)},
           {"sluice_step_tokens_total", "counter",
            "Tokens that steps have run, those run again among them.", number(s.counters.tokens)},
           {"sluice_generated_tokens_total", "counter", "Tokens generated.",
            number(s.counters.generated)},
           {"sluice_preemptions_total", "counter", "Answers that had to give up their cache.",
            number(s.counters.preemptions)},
           {"sluice_prefix_cache_hits_total", "counter", "Prompts that began with a known text.",
            number(s.prefix_cache.hits)},
           {"sluice_prefix_cache_misses_total", "counter", "Prompts that did not.",
            number(s.prefix_cache.misses)},
           {"sluice_prefix_cache_saved_tokens_total", "counter", "Tokens that were not run.",
            number(s.prefix_cache.saved_tokens)},
           {"sluice_prefix_cache_evictions_total", "counter", "Known blocks given up.",
            number(s.prefix_cache.evictions)},
           {"sluice_prefix_cache_blocks", "gauge", "Blocks known.", number(s.known_blocks)},
           {"sluice_cache_blocks", "gauge", "Blocks of the KV cache.", number(s.blocks)},
           {"sluice_cache_blocks_free", "gauge", "Blocks that can be had, idle ones among them.",
            number(s.free_blocks)},
           {"sluice_cache_blocks_idle", "gauge", "Blocks that only the prefix cache wants.",
            number(s.idle_blocks)},
           {"sluice_tokens_per_second", "gauge", "Tokens generated in the last seconds.",
            s.tokens_per_second},
       }) {
    Print(value, out);
  }
}

}  // namespace

absl::Span<const double> Histogram::Bounds() {
  static constexpr std::array<double, kBounds> kSeconds = {
      0.001, 0.002, 0.003, 0.006, 0.01, 0.02, 0.03, 0.06, 0.1, 0.2, 0.3,
      0.6,   1,     2,     3,     6,    10,   30,   60,   180, 600};
  return kSeconds;
}

void Histogram::Add(double seconds) {
  const auto bounds = Bounds();
  const auto place = std::lower_bound(bounds.begin(), bounds.end(), seconds) - bounds.begin();
  ++counts_[static_cast<size_t>(place)];
  sum_ += seconds;
}

void Histogram::Print(const std::string& name, const std::string& help, std::string* out) const {
  PrintHead(name, "histogram", help, out);
  int64_t count = 0;
  for (size_t i = 0; i < kBounds; ++i) {
    count += counts_[i];
    absl::StrAppendFormat(out, "%s_bucket{le=\"%g\"} %d\n", name, Bounds()[i], count);
  }
  count += counts_[kBounds];
  absl::StrAppendFormat(out, "%s_bucket{le=\"+Inf\"} %d\n%s_sum %.9g\n%s_count %d\n", name, count,
                        name, sum_, name, count);
}

void Metrics::Count(const CallRecord& record) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++requests_[{record.path, record.status}];
  ++totals_.requests;
  if (record.status >= 400) ++totals_.errors;
  const Usage& usage = record.usage;
  totals_.prompt_tokens += usage.prompt_tokens;
  totals_.cached_tokens += usage.cached_tokens;
  totals_.completion_tokens += usage.completion_tokens;
  if (!record.first_token_seconds.has_value()) return;
  first_token_.Add(*record.first_token_seconds);
  total_.Add(record.seconds);
  if (usage.completion_tokens < 2) return;
  per_token_.Add((record.seconds - *record.first_token_seconds) /
                 static_cast<double>(usage.completion_tokens - 1));
}

RequestTotals Metrics::totals() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return totals_;
}

std::string Metrics::Text(const ModelThreadState* thread, int64_t in_flight) const {
  std::string out;
  const std::lock_guard<std::mutex> lock(mutex_);
  PrintHead("sluice_requests_total", "counter", "Requests answered.", &out);
  for (const auto& [key, count] : requests_) {
    absl::StrAppendFormat(&out, "sluice_requests_total{route=\"%s\",status=\"%d\"} %d\n", key.first,
                          key.second, count);
  }
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  Print({"sluice_answers_in_flight", "gauge", "Places taken, of those that run and that wait.",
         number(in_flight)},
        &out);
  Print({"sluice_prompt_tokens_total", "counter", "Tokens of prompts.",
         number(totals_.prompt_tokens)},
        &out);
  Print({"sluice_cached_tokens_total", "counter", "Tokens of prompts that were known.",
         number(totals_.cached_tokens)},
        &out);
  Print({"sluice_completion_tokens_total", "counter", "Tokens of answers.",
         number(totals_.completion_tokens)},
        &out);
  first_token_.Print("sluice_first_token_seconds", "Time to the first token.", &out);
  per_token_.Print("sluice_token_seconds", "Time for each further token of a request.", &out);
  total_.Print("sluice_answer_seconds", "Time of a whole request that generated.", &out);
  if (thread != nullptr) PrintThread(*thread, &out);
  return out;
}

}  // namespace sluice::server
