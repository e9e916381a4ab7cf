// Numbers for Prometheus, and for people who ask /state.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "absl/types/span.h"
#include "tools/server/call_record.h"
#include "tools/server/model_thread.h"

namespace sluice::server {

class Histogram {
 public:
  // Upper bounds in seconds: four a factor of ten.
  static absl::Span<const double> Bounds();

  void Add(double seconds);
  // In Prometheus' text format.
  void Print(const std::string& name, const std::string& help, std::string* out) const;

 private:
  static constexpr size_t kBounds = 21;
  std::array<int64_t, kBounds + 1> counts_ = {};  // the last one: more than all bounds
  double sum_ = 0;
};

struct RequestTotals {
  int64_t requests = 0, errors = 0, prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
};

// Every function may be called from every thread.
class Metrics {
 public:
  void Count(const CallRecord& record);
  RequestTotals totals() const;
  // `thread` may be null: an encoder, or no model yet.
  std::string Text(const ModelThreadState* thread, int64_t in_flight) const;

 private:
  mutable std::mutex mutex_;                                 // guards all
  std::map<std::pair<std::string, int>, int64_t> requests_;  // by route and status
  RequestTotals totals_;
  Histogram first_token_, per_token_, total_;
};

}  // namespace sluice::server
