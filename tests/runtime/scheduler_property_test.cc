// What holds for every schedule, on thousands of random ones: pools so small that requests are
// preempted, prompts that begin alike, late arrivals, cancelled requests, failing steps, drafts,
// filters. Each scenario follows from its seed, which is printed with what went wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "runtime/scheduler.h"
#include "tests/support/fake_device.h"

namespace sluice {
namespace {

constexpr int kScenarios = 20000;
constexpr int64_t kVocabulary = 7;

class Random {
 public:
  explicit Random(uint64_t seed) : bits_(seed) {}
  int64_t From(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(bits_() % static_cast<uint64_t>(most - least + 1));
  }
  bool Percent(int64_t percent) { return From(0, 99) < percent; }

 private:
  std::mt19937_64 bits_;
};

// After a token, neither itself nor the next one may come, and after twenty of them none: so a
// filter that is asked or told too often, or too little, shows.
class OddFilter final : public TokenFilter {
 public:
  absl::StatusOr<absl::Span<const uint64_t>> Allowed() override {
    if (count_ == 20) return absl::FailedPreconditionError("no token");
    allowed_ = (1 << kVocabulary) - 1;
    if (count_ > 0) allowed_ &= ~((1U << last_) | (1U << (last_ + 1) % kVocabulary));
    return absl::MakeConstSpan(&allowed_, 1);
  }
  void Accept(int32_t token) override {
    last_ = token;
    ++count_;
  }
  bool IsComplete() const override { return count_ >= 10 && last_ == 0; }

 private:
  uint64_t allowed_ = 0;
  int32_t last_ = 0;
  int count_ = 0;
};

// What a request gets if it is alone on a device that does nothing wrong.
struct Alone {
  std::vector<int32_t> tokens;
  StopReason reason = StopReason::kLength;
  absl::Status status;
  int64_t run = 0;  // tokens, prompt and generated
};

// One request and what has become of it.
struct Client {
  std::vector<int32_t> prompt;
  GenerateOptions options;
  int32_t end = -1;        // ends the text; -1: no token does
  int64_t patience = -1;   // tokens after which on_token returns false; -1: never
  int64_t arrival = 0;     // step
  int64_t cancel_at = -1;  // step; -1: never

  Alone alone;
  std::vector<int32_t> tokens;
  int64_t finished_at = -1;
  int64_t latest = 0;  // step by which it is finished if nobody starves
  RequestResult result;
};

Alone RunAlone(const Client& client, int64_t max_context) {
  Alone alone;
  std::vector<int32_t> text = client.prompt;
  Sampler sampler(client.options.sampling);
  for (const int32_t token : text) sampler.Accept(token);
  OddFilter filter;
  const bool filtered = client.options.new_filter != nullptr;
  while (true) {
    alone.run = static_cast<int64_t>(text.size());
    if (client.options.max_tokens == 0) return alone;
    absl::StatusOr<absl::Span<const uint64_t>> allowed = absl::Span<const uint64_t>();
    if (filtered) allowed = filter.Allowed();
    alone.status = allowed.status();
    if (!allowed.ok()) return alone;
    const int32_t token = *sampler.Sample(FakeDevice::LogitsAfter(text, kVocabulary), *allowed);
    alone.reason = StopReason::kEndOfGeneration;
    if (token == client.end) return alone;
    sampler.Accept(token);
    if (filtered) filter.Accept(token);
    alone.tokens.push_back(token);
    text.push_back(token);
    const auto made = static_cast<int64_t>(alone.tokens.size());
    alone.reason = StopReason::kCallback;
    if (made == client.patience) return alone;
    alone.reason = StopReason::kEndOfGeneration;
    if (filtered && filter.IsComplete()) return alone;
    alone.reason = StopReason::kLength;
    if (made == client.options.max_tokens) return alone;
    alone.reason = StopReason::kContext;
    if (alone.run == max_context) return alone;
  }
}

class Scenario {
 public:
  explicit Scenario(uint64_t seed)
      : random_(seed),
        crowded_(random_.Percent(50)),
        blocks_(random_.From(2, 24)),
        device_(RandomLimits(), blocks_),
        scheduler_(device_, RandomOptions()) {
    const int64_t count = random_.From(1, 10);
    for (int64_t i = 0; i < count; ++i) clients_.push_back(RandomClient());
    std::stable_sort(clients_.begin(), clients_.end(),
                     [](auto& a, auto& b) { return a.arrival < b.arrival; });
    failing_step_ = random_.Percent(5) ? random_.From(0, 30) : -1;
  }

  // What went wrong, or "".
  std::string Run() {
    for (step_ = 0; !Done(); ++step_) {
      Arrive();
      CancelDue();
      if (step_ == failing_step_) device_.FailNext(absl::InternalError("the device is gone"));
      scheduler_.Step();
      if (!device_.fault().empty()) return device_.fault();
      if (std::string wrong = CheckNow(); !wrong.empty()) return wrong;
    }
    for (size_t i = 0; i < clients_.size(); ++i) {
      if (std::string wrong = CheckClient(clients_[i]); !wrong.empty()) {
        return absl::StrCat("request ", i, ": ", wrong);
      }
    }
    return CheckEnd();
  }

  const Scheduler::Counters& counters() const { return scheduler_.counters(); }
  PrefixCache::Counters prefix_counters() const {
    return scheduler_.prefix_cache() ? scheduler_.prefix_cache()->counters()
                                     : PrefixCache::Counters();
  }

 private:
  StepLimits RandomLimits() {
    StepLimits limits;
    limits.block_size = random_.From(crowded_ ? 2 : 1, 5);
    limits.max_context = limits.block_size * random_.From(2, std::min<int64_t>(blocks_, 12));
    limits.max_seqs = random_.From(crowded_ ? 3 : 1, 6);
    limits.max_outputs = random_.From(crowded_ ? 3 : 1, 6);
    limits.max_tokens = random_.From(limits.max_outputs, 24);
    limits.vocabulary = kVocabulary;
    return limits;
  }

  SchedulerOptions RandomOptions() {
    SchedulerOptions options;
    if (random_.Percent(50)) options.step_tokens = random_.From(crowded_ ? 4 : 1, 30);
    if (random_.Percent(50)) options.prefill_chunk = random_.From(1, 8);
    if (random_.Percent(20)) options.max_running = random_.From(1, 4);
    options.prefix_cache = random_.Percent(75);
    options.max_drafting = random_.From(1, 6);
    return options;
  }

  // Prompts begin like earlier ones or even continue their answers, often.
  std::vector<int32_t> RandomPrompt() {
    const int64_t room = device_.limits().max_context - 1;
    const int64_t longest = crowded_ ? std::min<int64_t>(room, 4) : room;
    std::vector<int32_t> prompt;
    if (!clients_.empty() && random_.Percent(60)) {
      const Client& other =
          clients_[static_cast<size_t>(random_.From(0, static_cast<int64_t>(clients_.size()) - 1))];
      prompt = other.prompt;
      prompt.insert(prompt.end(), other.alone.tokens.begin(), other.alone.tokens.end());
      const auto size = static_cast<int64_t>(prompt.size());
      prompt.resize(static_cast<size_t>(std::min(longest, random_.From(1, size))));
    }
    const auto begin = static_cast<int64_t>(prompt.size());
    const int64_t size = random_.From(std::max<int64_t>(begin, 1), longest);
    const bool stays = begin > 0 && random_.Percent(40);
    while (!stays && static_cast<int64_t>(prompt.size()) < size) {
      prompt.push_back(static_cast<int32_t>(random_.From(0, kVocabulary - 1)));
    }
    return prompt;
  }

  Client RandomClient() {
    Client client;
    client.prompt = RandomPrompt();
    client.options.max_tokens = random_.Percent(15) ? -1 : random_.From(0, crowded_ ? 40 : 12);
    client.options.sampling = {.temperature = random_.Percent(50) ? 0.0 : 1.0,
                               .typical_p = random_.Percent(20) ? 0.9 : 1.0,
                               .repeat_penalty = random_.Percent(20) ? 1.3 : 1.0,
                               .seed = static_cast<uint64_t>(random_.From(0, 1000))};
    if (random_.Percent(50)) {
      client.options.draft = {.ngram = random_.From(1, 3), .max = random_.From(1, 6)};
    }
    if (random_.Percent(10)) {
      client.options.new_filter = [] { return std::make_unique<OddFilter>(); };
    }
    if (random_.Percent(crowded_ ? 10 : 30))
      client.end = static_cast<int32_t>(random_.From(0, kVocabulary - 1));
    if (random_.Percent(10)) client.patience = random_.From(1, 5);
    if (random_.Percent(crowded_ ? 30 : 70)) client.arrival = random_.From(0, 40);
    if (random_.Percent(15)) client.cancel_at = client.arrival + random_.From(0, 15);
    client.alone = RunAlone(client, device_.limits().max_context);
    return client;
  }

  bool Done() const {
    return std::all_of(clients_.begin(), clients_.end(),
                       [](const Client& c) { return c.finished_at >= 0; });
  }

  void Arrive() {
    for (; next_ < clients_.size() && clients_[next_].arrival <= step_; ++next_) {
      Client& client = clients_[next_];
      // In the worst case, each step runs one token of the oldest request.
      client.latest = step_ + client.alone.run;
      for (size_t i = 0; i < next_; ++i) {
        if (clients_[i].finished_at < 0) client.latest += clients_[i].alone.run;
      }
      Request request;
      request.id = static_cast<int64_t>(next_);
      request.prompt = client.prompt;
      request.options = client.options;
      request.options.is_end = [&client](int32_t token) { return token == client.end; };
      request.options.on_token = [&client](int32_t token) {
        client.tokens.push_back(token);
        return static_cast<int64_t>(client.tokens.size()) != client.patience;
      };
      request.on_finish = [this, &client](const RequestResult& result) {
        if (client.finished_at >= 0) wrong_ = "a request is finished twice";
        client.finished_at = step_;
        client.result = result;
      };
      scheduler_.Add(std::move(request));
    }
  }

  void CancelDue() {
    for (size_t i = 0; i < next_; ++i) {
      if (clients_[i].cancel_at != step_) continue;
      const bool unfinished = clients_[i].finished_at < 0;
      if (scheduler_.Cancel(static_cast<int64_t>(i)) != unfinished) wrong_ = "cancelled wrongly";
    }
  }

  std::string CheckNow() {
    const StepLimits& limits = device_.limits();
    if (scheduler_.running() > std::min(limits.max_seqs, limits.max_outputs)) {
      return "more requests run than a step takes";
    }
    for (size_t i = 0; i < next_; ++i) {
      if (clients_[i].finished_at < 0 && step_ > clients_[i].latest) {
        return absl::StrCat("request ", i, " starves: step ", step_);
      }
    }
    return wrong_;
  }

  static bool IsWhole(const Client& client) {
    return client.result.status == client.alone.status && client.tokens == client.alone.tokens &&
           (!client.result.status.ok() || client.result.reason == client.alone.reason);
  }

  static std::string CheckClient(const Client& client) {
    const Alone& alone = client.alone;
    const bool whole = IsWhole(client);
    const bool begun = client.tokens.size() <= alone.tokens.size() &&
                       std::equal(client.tokens.begin(), client.tokens.end(), alone.tokens.begin());
    const bool cancelled = client.finished_at == client.cancel_at && client.result.status.ok() &&
                           client.result.reason == StopReason::kCallback;
    const bool failed = client.result.status.code() == absl::StatusCode::kInternal;
    if (!whole && !(begun && (cancelled || failed))) {
      return absl::StrCat("got ", client.tokens.size(), " tokens (", client.result.status.message(),
                          Describe(client.result.reason), "), alone ", alone.tokens.size(), " (",
                          Describe(alone.reason), ")");
    }
    if (client.result.generated != static_cast<int64_t>(client.tokens.size())) {
      return "another number of tokens in its result than it got";
    }
    return "";
  }

  std::string CheckEnd() {
    const BlockPool& pool = device_.pool();
    const PrefixCache* cache = scheduler_.prefix_cache();
    if (!scheduler_.idle()) return "requests are left";
    if (pool.free() != pool.size()) return "blocks are lost";
    if (pool.idle() != (cache ? cache->size() : 0)) return "blocks are idle that nobody knows";
    if (std::string wrong = CheckCounters(); !wrong.empty()) return wrong;
    scheduler_.Reset();
    return pool.idle() == 0 ? "" : "blocks are idle after a reset";
  }

  std::string CheckCounters() const {
    int64_t generated = 0, run = 0, drafted = 0, accepted = 0;
    bool all_whole = true;
    for (const Client& client : clients_) {
      generated += client.result.generated;
      run += client.alone.run;
      drafted += client.result.drafted;
      accepted += client.result.accepted;
      all_whole &= IsWhole(client);
    }
    const Scheduler::Counters& counters = scheduler_.counters();
    if (generated != counters.generated) return "the count of generated tokens is wrong";
    if (drafted != counters.drafted || accepted != counters.accepted || accepted > drafted) {
      return "the count of drafted tokens is wrong";
    }
    if (!all_whole || counters.preemptions > 0) return "";
    const PrefixCache::Counters prefix = prefix_counters();
    if (counters.tokens - (drafted - accepted) + prefix.saved_tokens != run) {
      return absl::StrCat(counters.tokens, " tokens were run and ", prefix.saved_tokens,
                          " saved, expected ", run, " in all");
    }
    const auto texts = scheduler_.prefix_cache() ? static_cast<int64_t>(clients_.size()) : 0;
    return prefix.hits + prefix.misses == texts ? "" : "texts were not counted once each";
  }

  Random random_;
  const bool crowded_;  // short prompts, long answers: the pool fills up while requests run
  const int64_t blocks_;
  FakeDevice device_;
  Scheduler scheduler_;
  std::vector<Client> clients_;  // by arrival
  size_t next_ = 0;              // the first that has not arrived
  int64_t step_ = 0;
  int64_t failing_step_ = -1;
  std::string wrong_;
};

TEST(SchedulerProperty, EveryRequestGetsWhatItGetsAlone) {
  int64_t preemptions = 0, saved = 0, evictions = 0, drafted = 0, accepted = 0;
  for (uint64_t seed = 1; seed <= kScenarios; ++seed) {
    Scenario scenario(seed);
    const std::string wrong = scenario.Run();
    ASSERT_EQ(wrong, "") << "seed " << seed;
    preemptions += scenario.counters().preemptions;
    saved += scenario.prefix_counters().saved_tokens;
    drafted += scenario.counters().drafted;
    accepted += scenario.counters().accepted;
    evictions += scenario.prefix_counters().evictions;
  }
  // The scenarios are of the kind that they are meant to be.
  EXPECT_GT(preemptions, kScenarios / 4);
  EXPECT_GT(saved, kScenarios);
  EXPECT_GT(evictions, kScenarios);
  EXPECT_GT(drafted, kScenarios);
  EXPECT_GT(accepted, kScenarios / 4);
}

}  // namespace
}  // namespace sluice
