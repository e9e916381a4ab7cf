// Hours of good and bad clients together, to see that a server stands it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/load/traffic.h"

namespace sluice::load {

struct SoakOptions {
  std::chrono::seconds duration{1800};
  std::chrono::seconds warm_up{300};  // memory may grow until then
  double growth = 0.05;               // and by this part of it after that
  int64_t process = 0;                // whose memory is watched; 0: nobody's
  int64_t held = 0;                   // connections beside, idle or in the midst of a request
  TrafficOptions traffic;             // its clients, and sizes of requests, at most
  std::function<void(const std::string& line)> on_minute;
};

struct SoakReport {
  // What clients did, and how often; and what came of it that should not have.
  std::map<std::string, int64_t> done;
  std::map<std::string, int64_t> surprises;  // "half a body: code 200, expected 400"
  int64_t answered = 0, tokens = 0;
  int64_t warm_bytes = 0, most_bytes = 0;  // the most resident memory in the warm-up, and after
  std::string leftover;                    // what the server still holds at the end; empty: nothing
  bool has_grown = false;
  int64_t held = 0, renewed = 0;  // connections; and those of them that the server closed
  // Of /health, asked every second.
  double health_p50_ms = 0, health_p95_ms = 0;

  bool ok() const { return surprises.empty() && leftover.empty() && !has_grown; }
};

// Errors: there is no server, or no such process.
absl::StatusOr<SoakReport> Soak(const Endpoint& endpoint, const SoakOptions& options);

std::string SoakText(const SoakReport& report);
std::string SoakJson(const SoakReport& report);

}  // namespace sluice::load
