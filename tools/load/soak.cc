#include "tools/load/soak.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "graph/status_macros.h"
#include "runtime/machine_memory.h"
#include "tools/load/bad_requests.h"
#include "tools/load/held_connections.h"

namespace sluice::load {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kLargeBody = size_t{64} << 20;

// Resident bytes of a process; 0 if there is none.
int64_t ResidentBytes(int64_t process) {
  const absl::StatusOr<ProcessMemory> memory = ReadProcessMemory("", absl::StrCat(process));
  return memory.ok() ? memory->resident : 0;
}

// What all clients together have seen.
class Log {
 public:
  void Done(absl::string_view what) {
    const std::lock_guard lock(mutex_);
    ++report_.done[std::string(what)];
  }
  void Surprise(const std::string& what) {
    const std::lock_guard lock(mutex_);
    ++report_.surprises[what];
  }
  void Answered(int64_t tokens) {
    const std::lock_guard lock(mutex_);
    ++report_.answered;
    report_.tokens += tokens;
  }
  SoakReport report() const {
    const std::lock_guard lock(mutex_);
    return report_;
  }

 private:
  mutable std::mutex mutex_;
  SoakReport report_;
};

// One client that behaves at random until the end.
class Client {
 public:
  Client(const Endpoint& endpoint, const SoakOptions& options,
         const std::vector<BadRequest>& bad_requests, uint64_t seed, Log* log)
      : endpoint_(endpoint),
        options_(options),
        bad_requests_(bad_requests),
        random_(seed),
        http_(endpoint),
        log_(*log) {}

  void ActOnce() {
    const int64_t chance = Below(100);
    if (chance < 60) {
      Complete("read to the end", {});
    } else if (chance < 75) {
      Complete("broke off", {.abort_after = 1 + Below(8)});
    } else if (chance < 85) {
      Complete("read slowly", {.pause = std::chrono::milliseconds(20 + Below(100))});
    } else if (chance < 88) {
      if (SendHalfARequest(endpoint_.url)) log_.Done("sent half a request");
    } else {
      Misbehave();
    }
  }

 private:
  int64_t Below(int64_t limit) {
    return std::uniform_int_distribution<int64_t>(0, limit - 1)(random_);
  }

  void Complete(absl::string_view what, CompletionRequest request) {
    TrafficOptions traffic = options_.traffic;
    traffic.prompt_tokens = 1 + Below(traffic.prompt_tokens);
    request.prompt = PromptOf(traffic, Below(1000));
    request.max_tokens = 1 + Below(traffic.max_tokens);
    request.temperature = Below(2) == 0 ? 0.0 : 0.8;
    request.ignores_end = Below(2) == 0;
    const Completion completion = http_.Run(request);
    log_.Done(what);
    if (!completion.status.ok()) {
      log_.Surprise(absl::StrCat(what, ": ", completion.status.message()));
    } else if (!completion.aborted) {
      log_.Answered(completion.tokens);
    }
  }

  void Misbehave() {
    const BadRequest& bad =
        bad_requests_[static_cast<size_t>(Below(static_cast<int64_t>(bad_requests_.size())))];
    const auto reply = http_.Post(bad.path, bad.body);
    const int code = reply.ok() ? reply->code : 0;
    log_.Done("sent what is no request");
    if (std::find(bad.codes.begin(), bad.codes.end(), code) != bad.codes.end()) return;
    log_.Surprise(
        absl::StrCat(bad.what, ": code ", code, ", expected ", absl::StrJoin(bad.codes, " or ")));
  }

  const Endpoint& endpoint_;
  const SoakOptions& options_;
  const std::vector<BadRequest>& bad_requests_;
  std::mt19937_64 random_;
  CompletionClient http_;
  Log& log_;
};

// What the server holds though nobody asks for anything; empty: nothing.
std::string LeftoverOf(const Json& state) {
  const Json engine = state.value("engine", Json::object());
  const Json cache = engine.value("cache", Json::object());
  std::vector<std::string> held;
  const auto expect = [&](absl::string_view what, int64_t count) {
    if (count != 0) held.push_back(absl::StrCat(count, " ", what));
  };
  expect("running", engine.value("running", int64_t{-1}));
  expect("waiting", engine.value("waiting", int64_t{-1}));
  expect("blocks", cache.value("blocks", int64_t{-1}) - cache.value("free", int64_t{0}));
  expect("places", state.value("places", Json::object()).value("taken", int64_t{-1}));
  return absl::StrJoin(held, ", ");
}

absl::StatusOr<std::string> Leftover(const Endpoint& endpoint) {
  constexpr int kSeconds = 30;  // what was broken off may still be at work
  CompletionClient client(endpoint);
  std::string left;
  for (int i = 0; i < kSeconds; ++i) {
    SLUICE_ASSIGN_OR_RETURN(const CompletionClient::Reply reply, client.Get("/state"));
    const Json state = Json::parse(reply.body, nullptr, false);
    if (!state.is_object()) return absl::DataLossError("/state gives no JSON object");
    left = LeftoverOf(state);
    if (left.empty()) break;
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  return left;
}

std::string MinuteLine(Clock::duration elapsed, const SoakReport& report, int64_t bytes) {
  int64_t done = 0, surprises = 0;
  for (const auto& [what, count] : report.done) done += count;
  for (const auto& [what, count] : report.surprises) surprises += count;
  return absl::StrFormat(
      "%d min: %d requests, %d answered in full, %d tokens, %d surprises, %d MiB resident",
      std::chrono::duration_cast<std::chrono::minutes>(elapsed).count(), done, report.answered,
      report.tokens, surprises, bytes >> 20);
}

// How long the server takes to say that it is well; 0 if it does not.
double HealthMilliseconds(const Endpoint& endpoint) {
  const Clock::time_point begin = Clock::now();
  const auto reply = CompletionClient(endpoint).Get("/health");
  if (!reply.ok() || reply->code != 200) return 0;
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

void NoteHealth(std::vector<double> times, SoakReport* report) {
  if (times.empty()) return;
  std::sort(times.begin(), times.end());
  report->health_p50_ms = times[times.size() / 2];
  report->health_p95_ms = times[times.size() * 95 / 100];
}

// Watches memory and health until the end and tells of it every minute.
void Watch(const Endpoint& endpoint, const SoakOptions& options, HeldConnections* held, Log* log,
           SoakReport* report) {
  const Clock::time_point begin = Clock::now();
  Clock::duration told{0};
  std::vector<double> health;
  while (Clock::now() - begin < options.duration) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    if (!held->Renew().ok()) log->Surprise("a connection that was to be held: none");
    const double milliseconds = HealthMilliseconds(endpoint);
    if (milliseconds == 0) log->Surprise("/health: no 200");
    health.push_back(milliseconds);
    NoteHealth(health, report);
    const Clock::duration elapsed = Clock::now() - begin;
    const int64_t bytes = options.process > 0 ? ResidentBytes(options.process) : 0;
    int64_t& most = elapsed < options.warm_up ? report->warm_bytes : report->most_bytes;
    most = std::max(most, bytes);
    if (elapsed - told < std::chrono::minutes(1) || !options.on_minute) continue;
    told = elapsed;
    options.on_minute(absl::StrFormat("%s, /health p95 %.1f ms",
                                      MinuteLine(elapsed, log->report(), bytes),
                                      report->health_p95_ms));
  }
}

}  // namespace

absl::StatusOr<SoakReport> Soak(const Endpoint& endpoint, const SoakOptions& options) {
  SLUICE_RETURN_IF_ERROR(CompletionClient(endpoint).Get("/health").status());
  if (options.process > 0 && ResidentBytes(options.process) == 0) {
    return absl::NotFoundError(absl::StrCat("there is no process ", options.process));
  }
  HeldConnections held(endpoint.url);
  SLUICE_RETURN_IF_ERROR(held.Open(options.held));
  const std::vector<BadRequest> bad_requests = AllBadRequests(kLargeBody);
  Log log;
  std::atomic<bool> is_over = false;
  std::vector<std::thread> clients;
  for (int64_t i = 0; i < options.traffic.clients; ++i) {
    clients.emplace_back([&, i] {
      Client client(endpoint, options, bad_requests,
                    options.traffic.seed + static_cast<uint64_t>(i), &log);
      while (!is_over) client.ActOnce();
    });
  }
  SoakReport watched;
  Watch(endpoint, options, &held, &log, &watched);
  is_over = true;
  for (std::thread& client : clients) client.join();
  SoakReport report = log.report();
  report.warm_bytes = watched.warm_bytes;
  report.most_bytes = watched.most_bytes;
  report.health_p50_ms = watched.health_p50_ms;
  report.health_p95_ms = watched.health_p95_ms;
  report.held = options.held;
  report.renewed = held.renewed();
  report.has_grown =
      report.warm_bytes > 0 && static_cast<double>(report.most_bytes) >
                                   (1 + options.growth) * static_cast<double>(report.warm_bytes);
  SLUICE_ASSIGN_OR_RETURN(report.leftover, Leftover(endpoint));
  return report;
}

std::string SoakText(const SoakReport& report) {
  std::string text;
  for (const auto& [what, count] : report.done)
    absl::StrAppendFormat(&text, "%8d %s\n", count, what);
  absl::StrAppendFormat(&text, "%d answered in full, %d tokens\n", report.answered, report.tokens);
  if (report.warm_bytes > 0) {
    absl::StrAppendFormat(&text, "%d MiB resident at most in the warm-up, %d MiB after it%s\n",
                          report.warm_bytes >> 20, report.most_bytes >> 20,
                          report.has_grown ? ": too much more" : "");
  }
  absl::StrAppendFormat(&text, "/health: p50 %.1f ms, p95 %.1f ms\n", report.health_p50_ms,
                        report.health_p95_ms);
  if (report.held > 0) {
    absl::StrAppendFormat(&text,
                          "%d connections held, %d of them again after the server closed one\n",
                          report.held, report.renewed);
  }
  absl::StrAppend(&text, "left over: ", report.leftover.empty() ? "nothing" : report.leftover,
                  "\n");
  for (const auto& [what, count] : report.surprises) {
    absl::StrAppendFormat(&text, "SURPRISE, %d times: %s\n", count, what);
  }
  return text;
}

std::string SoakJson(const SoakReport& report) {
  return Json{{"done", report.done},
              {"surprises", report.surprises},
              {"answered", report.answered},
              {"tokens", report.tokens},
              {"warm_bytes", report.warm_bytes},
              {"most_bytes", report.most_bytes},
              {"has_grown", report.has_grown},
              {"health_p50_ms", report.health_p50_ms},
              {"health_p95_ms", report.health_p95_ms},
              {"held", report.held},
              {"renewed", report.renewed},
              {"leftover", report.leftover},
              {"ok", report.ok()}}
             .dump(2) +
         "\n";
}

}  // namespace sluice::load
