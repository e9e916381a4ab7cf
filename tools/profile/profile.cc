#include "tools/profile/profile.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

constexpr RowForm kForm = RowForm::kLikeliest;  // what common samplers need

// Notes only times while steps run; what they cost is worked out afterwards.
class Profiler : public RunObserver {
 public:
  explicit Profiler(const KernelSet* kernels) : kernels_(kernels) {}

  // All but the times of `step` is set.
  void BeginStep(ProfiledStep step) {
    if (profile_.steps.empty()) origin_ = Clock::now();
    step.start = Now();
    profile_.steps.push_back(step);
  }
  void EndStep() { profile_.steps.back().seconds = Now() - profile_.steps.back().start; }

  bool needs_values() const override { return false; }

  void OnNode(const Node& node, absl::Span<const TensorView> /*operands*/,
              absl::Span<const TensorView> results, double seconds) override {
    // A backend that tells of its nodes when the step is over gives no results.
    const double start = results.empty() ? EndOfLastRun() : std::max(0.0, Now() - seconds);
    profile_.runs.push_back({.node = IndexOf(node),
                             .step = profile_.steps.size() - 1,
                             .start = start,
                             .seconds = seconds});
  }

  // Fills in the costs of the runs of the last step.
  absl::Status AddCosts(const Graph& graph) {
    const size_t step = profile_.steps.size() - 1;
    const StepSize& size = profile_.steps[step].size;
    const SymbolValues symbols = SymbolsOf(graph, size);
    for (size_t i = profile_.runs.size(); i > 0 && profile_.runs[i - 1].step == step; --i) {
      NodeRun& run = profile_.runs[i - 1];
      SLUICE_ASSIGN_OR_RETURN(run.cost, CostOf(*nodes_[run.node], symbols, size.context()));
    }
    return absl::OkStatus();
  }

  Profile Finish() && { return std::move(profile_); }

 private:
  double Now() const { return std::chrono::duration<double>(Clock::now() - origin_).count(); }

  // The start of the step if nothing ran in it yet.
  double EndOfLastRun() const {
    const double begin = profile_.steps.back().start;
    if (profile_.runs.empty()) return begin;
    const NodeRun& last = profile_.runs.back();
    return std::max(begin, last.start + last.seconds);
  }

  size_t IndexOf(const Node& node) {
    const auto [it, is_new] = index_.try_emplace(&node, nodes_.size());
    if (is_new) {
      nodes_.push_back(&node);
      profile_.nodes.push_back({.name = node.name(),
                                .op = node.op().name,
                                .kernel = node.kernel(),
                                .origin = node.origin(),
                                .part = PartOf(node),
                                .arithmetic = ArithmeticOf(node, kernels_)});
    }
    return it->second;
  }

  const KernelSet* kernels_;
  Clock::time_point origin_;
  Profile profile_;
  std::vector<const Node*> nodes_;
  absl::flat_hash_map<const Node*, size_t> index_;
};

// Feeds a session random tokens, step by step.
class Driver {
 public:
  Driver(Session& session, const ProfileOptions& options) : session_(session), options_(options) {}

  // After a warm-up. The context of `depth` tokens is there only once, and is gone back to.
  absl::Status RunPhase(Phase phase, Profiler* profiler) {
    const std::unique_ptr<Sequence> sequence = session_.NewSequence();
    const bool prefill = phase == Phase::kPrefill;
    const int64_t tokens = prefill ? options_.prompt : options_.generate;
    const int64_t largest = session_.max_tokens();
    SLUICE_RETURN_IF_ERROR(Feed(*sequence, options_.depth, largest, {}, nullptr));
    const int64_t repetitions = prefill ? options_.repetitions : 1;
    for (int64_t i = -1; i < repetitions; ++i) {
      sequence->Truncate(options_.depth);
      SLUICE_RETURN_IF_ERROR(Feed(*sequence, tokens, prefill ? largest : 1,
                                  {.phase = phase, .sample = i}, i < 0 ? nullptr : profiler));
    }
    return absl::OkStatus();
  }

 private:
  // Steps like `step`; decode steps are samples of their own.
  absl::Status Feed(Sequence& sequence, int64_t tokens, int64_t largest_step, ProfiledStep step,
                    Profiler* profiler) {
    for (int64_t left = tokens; left > 0;) {
      const int64_t count = std::min(left, largest_step);
      left -= count;
      SLUICE_RETURN_IF_ERROR(Step(sequence, count, step, profiler));
      if (step.phase == Phase::kDecode) ++step.sample;
      if (options_.on_step) options_.on_step(count);
    }
    return absl::OkStatus();
  }

  absl::Status Step(Sequence& sequence, int64_t count, ProfiledStep step, Profiler* profiler) {
    std::vector<StepToken> batch;
    for (int64_t i = 0; i < count; ++i) {
      const uint64_t id = random_() % static_cast<uint64_t>(session_.vocabulary());
      batch.push_back({&sequence, static_cast<int32_t>(id), i + 1 == count});
    }
    SLUICE_ASSIGN_OR_RETURN(Executable * executable, session_.ExecutableFor(count, kForm));
    if (profiler == nullptr) return session_.StepRows(batch, kForm).status();
    const std::vector<int64_t> buckets = session_.buckets();
    step.bucket = *std::lower_bound(buckets.begin(), buckets.end(), count);
    step.size = {.tokens = count, .length = sequence.length() + count};
    profiler->BeginStep(step);
    session_.set_observer(profiler);
    const absl::Status status = session_.StepRows(batch, kForm).status();
    session_.set_observer(nullptr);
    profiler->EndStep();
    SLUICE_RETURN_IF_ERROR(status);
    return profiler->AddCosts(executable->graph());
  }

  Session& session_;
  const ProfileOptions& options_;
  std::mt19937 random_{1234};
};

size_t SamplesOf(const Profile& profile, Phase phase) {
  int64_t samples = 0;
  for (const ProfiledStep& step : profile.steps) {
    if (step.phase == phase) samples = std::max(samples, step.sample + 1);
  }
  return static_cast<size_t>(samples);
}

// A row in the making: the runs of all samples added up.
struct RowSums {
  explicit RowSums(size_t samples) : seconds(samples) {}

  void Add(const ProfiledNode& node, const NodeRun& run, const Ceiling& ceiling) {
    ++calls;
    cost = cost + run.cost;
    transfer_seconds += TransferSeconds(ceiling, run.cost);
    compute_seconds += ComputeSeconds(ceiling, run.cost, node.arithmetic);
  }

  ProfileRow Row(std::string key) && {
    const double part = seconds.empty() ? 0 : 1 / static_cast<double>(seconds.size());
    return {.key = std::move(key),
            .calls = part * static_cast<double>(calls),
            .seconds = SpreadOf(std::move(seconds)),
            .cost = {.flops = part * cost.flops,
                     .bytes_read = part * cost.bytes_read,
                     .bytes_written = part * cost.bytes_written},
            .transfer_seconds = part * transfer_seconds,
            .compute_seconds = part * compute_seconds,
            .kernels = {kernels.begin(), kernels.end()}};
  }

  std::vector<double> seconds;  // by sample
  int64_t calls = 0;
  OpCost cost;
  double transfer_seconds = 0, compute_seconds = 0;
  std::set<std::string> kernels;
};

std::string KeyOf(const ProfiledNode& node, ProfileKey key) {
  switch (key) {
    case ProfileKey::kOp:
      return node.op;
    case ProfileKey::kPart:
      return std::string(Name(node.part));
    case ProfileKey::kNode:
      return node.name;
    case ProfileKey::kKernel:
      return node.kernel.empty() ? "none" : node.kernel;
    case ProfileKey::kOrigin:
      return node.origin.empty() ? "builder" : node.origin;
  }
  return "";
}

}  // namespace

absl::string_view Name(Phase phase) { return phase == Phase::kPrefill ? "prefill" : "decode"; }

absl::StatusOr<Profile> ProfileSteps(Session& session, const ProfileOptions& options) {
  const int64_t needed = options.depth + std::max(options.prompt, options.generate);
  if (needed > session.max_context()) {
    return absl::InvalidArgumentError(absl::StrCat("the steps need a context of ", needed,
                                                   " tokens, expected at most ",
                                                   session.max_context()));
  }
  Driver driver(session, options);
  Profiler profiler(options.kernels);
  for (const Phase phase : {Phase::kPrefill, Phase::kDecode}) {
    const bool wanted = (phase == Phase::kPrefill ? options.prompt : options.generate) > 0;
    if (!wanted) continue;
    SLUICE_RETURN_IF_ERROR(driver.RunPhase(phase, &profiler));
  }
  return std::move(profiler).Finish();
}

Spread SpreadOf(std::vector<double> samples) {
  if (samples.empty()) return {};
  std::sort(samples.begin(), samples.end());
  const auto at = [&samples](double part) {
    const double place = part * static_cast<double>(samples.size() - 1);
    const auto below = static_cast<size_t>(place);
    const size_t above = std::min(below + 1, samples.size() - 1);
    return samples[below] +
           (place - static_cast<double>(below)) * (samples[above] - samples[below]);
  };
  return {.median = at(0.5), .low = at(0.25), .high = at(0.75)};
}

std::vector<ProfileRow> GroupRuns(const Profile& profile, Phase phase, ProfileKey key,
                                  const Ceiling& ceiling) {
  const size_t samples = SamplesOf(profile, phase);
  std::map<std::string, RowSums> by_key;
  for (const NodeRun& run : profile.runs) {
    const ProfiledStep& step = profile.steps[run.step];
    if (step.phase != phase) continue;
    const ProfiledNode& node = profile.nodes[run.node];
    RowSums& sums = by_key.try_emplace(KeyOf(node, key), samples).first->second;
    sums.Add(node, run, ceiling);
    sums.seconds[static_cast<size_t>(step.sample)] += run.seconds;
    if (!node.kernel.empty()) sums.kernels.insert(node.kernel);
  }
  std::vector<ProfileRow> rows;
  for (auto& [name, sums] : by_key) rows.push_back(std::move(sums).Row(name));
  std::stable_sort(rows.begin(), rows.end(), [](const ProfileRow& a, const ProfileRow& b) {
    return a.seconds.median > b.seconds.median;
  });
  return rows;
}

PhaseTotal TotalOf(const Profile& profile, Phase phase, const Ceiling& ceiling) {
  const size_t samples = SamplesOf(profile, phase);
  PhaseTotal total{.samples = static_cast<int64_t>(samples)};
  RowSums sums(samples);
  std::vector<double> between(samples);
  for (const ProfiledStep& step : profile.steps) {
    if (step.phase != phase) continue;
    ++total.steps;
    total.tokens += step.size.tokens;
    sums.seconds[static_cast<size_t>(step.sample)] += step.seconds;
    between[static_cast<size_t>(step.sample)] += step.seconds;
  }
  for (const NodeRun& run : profile.runs) {
    const ProfiledStep& step = profile.steps[run.step];
    if (step.phase != phase) continue;
    sums.Add(profile.nodes[run.node], run, ceiling);
    between[static_cast<size_t>(step.sample)] -= run.seconds;
  }
  if (samples > 0) {
    total.steps /= total.samples;
    total.tokens /= total.samples;
  }
  total.between = SpreadOf(std::move(between));
  total.all = std::move(sums).Row("all");
  return total;
}

}  // namespace sluice
