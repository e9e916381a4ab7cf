// Many clients at once: who asks when, and what.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tools/load/completion_client.h"

namespace sluice::load {

struct TrafficOptions {
  int64_t requests = 32;
  int64_t clients = 1;  // at once; the next request of each follows its last
  double rate = 0;      // requests a second that arrive by themselves (Poisson); 0: closed loop
  int64_t prompt_tokens = 128;
  int64_t shared_tokens = 0;  // of these, the same at the beginning of all prompts
  int64_t max_tokens = 64;
  int64_t vocabulary = 1000;  // token ids are below
  uint64_t seed = 1;
  std::function<void(int64_t)> on_done;  // called with 1 for each request; from any thread
};

struct TimedCompletion {
  double start = 0;  // seconds since the first could start: when it was sent
  double late = 0;   // by so much after it should have been
  Completion completion;
};

// The prompt of a request, the same for the same seed.
std::vector<int32_t> PromptOf(const TrafficOptions& options, int64_t request);
// When each request arrives, in seconds; 0 for all in a closed loop.
std::vector<double> ArrivalsOf(const TrafficOptions& options);

// In the order of arrival.
std::vector<TimedCompletion> RunTraffic(const Endpoint& endpoint, const TrafficOptions& options);

}  // namespace sluice::load
