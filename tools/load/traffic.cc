#include "tools/load/traffic.h"

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

namespace sluice::load {
namespace {

// Ids below are often control tokens.
constexpr int64_t kFirstToken = 10;

void AppendTokens(std::mt19937_64& random, const TrafficOptions& options, int64_t count,
                  std::vector<int32_t>* tokens) {
  std::uniform_int_distribution<int64_t> token(std::min(kFirstToken, options.vocabulary - 1),
                                               options.vocabulary - 1);
  for (int64_t i = 0; i < count; ++i) tokens->push_back(static_cast<int32_t>(token(random)));
}

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

std::vector<int32_t> PromptOf(const TrafficOptions& options, int64_t request) {
  std::vector<int32_t> tokens;
  const int64_t shared = std::min(options.shared_tokens, options.prompt_tokens);
  std::mt19937_64 same(options.seed);
  AppendTokens(same, options, shared, &tokens);
  std::mt19937_64 own(options.seed + 1 + static_cast<uint64_t>(request));
  AppendTokens(own, options, options.prompt_tokens - shared, &tokens);
  return tokens;
}

std::vector<double> ArrivalsOf(const TrafficOptions& options) {
  std::vector<double> arrivals(static_cast<size_t>(options.requests), 0.0);
  if (options.rate <= 0) return arrivals;
  std::mt19937_64 random(options.seed);
  std::exponential_distribution<double> gap(options.rate);
  double now = 0;
  for (double& arrival : arrivals) arrival = now += gap(random);
  return arrivals;
}

std::vector<TimedCompletion> RunTraffic(const Endpoint& endpoint, const TrafficOptions& options) {
  const std::vector<double> arrivals = ArrivalsOf(options);
  std::vector<TimedCompletion> results(arrivals.size());
  std::atomic<size_t> next = 0;
  const Clock::time_point begin = Clock::now();
  const auto client = [&] {
    CompletionClient connection(endpoint);
    for (size_t i = next++; i < results.size(); i = next++) {
      std::this_thread::sleep_until(begin + std::chrono::duration_cast<Clock::duration>(
                                                std::chrono::duration<double>(arrivals[i])));
      const CompletionRequest request = {.prompt = PromptOf(options, static_cast<int64_t>(i)),
                                         .max_tokens = options.max_tokens};
      const double start = SecondsSince(begin);
      results[i] = {.start = start,
                    .late = options.rate > 0 ? start - arrivals[i] : 0,
                    .completion = connection.Run(request)};
      if (options.on_done) options.on_done(1);
    }
  };
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < options.clients; ++i) threads.emplace_back(client);
  for (std::thread& thread : threads) thread.join();
  return results;
}

}  // namespace sluice::load
