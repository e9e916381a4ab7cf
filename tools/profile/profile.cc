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
  void BeginStep(Phase phase, const StepSize& size) {
    if (profile_.steps.empty()) origin_ = Clock::now();
    profile_.steps.push_back({.phase = phase, .size = size, .start = Now()});
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
                                .part = PartOf(node)});
    }
    return it->second;
  }

  Clock::time_point origin_;
  Profile profile_;
  std::vector<const Node*> nodes_;
  absl::flat_hash_map<const Node*, size_t> index_;
};

// Feeds a session random tokens, step by step.
class Driver {
 public:
  Driver(Session& session, const ProfileOptions& options) : session_(session), options_(options) {}

  // One phase on a new sequence; without a profiler, to warm up.
  absl::Status RunPhase(Phase phase, Profiler* profiler) {
    const std::unique_ptr<Sequence> sequence = session_.NewSequence();
    const bool prefill = phase == Phase::kPrefill;
    const int64_t largest = session_.max_tokens();
    SLUICE_RETURN_IF_ERROR(Feed(*sequence, options_.depth, largest, phase, nullptr));
    return Feed(*sequence, prefill ? options_.prompt : options_.generate, prefill ? largest : 1,
                phase, profiler);
  }

 private:
  absl::Status Feed(Sequence& sequence, int64_t tokens, int64_t largest_step, Phase phase,
                    Profiler* profiler) {
    for (int64_t left = tokens; left > 0;) {
      const int64_t count = std::min(left, largest_step);
      left -= count;
      SLUICE_RETURN_IF_ERROR(Step(sequence, count, phase, profiler));
      if (options_.on_step) options_.on_step(count);
    }
    return absl::OkStatus();
  }

  absl::Status Step(Sequence& sequence, int64_t count, Phase phase, Profiler* profiler) {
    std::vector<StepToken> batch;
    for (int64_t i = 0; i < count; ++i) {
      const uint64_t id = random_() % static_cast<uint64_t>(session_.vocabulary());
      batch.push_back({&sequence, static_cast<int32_t>(id), i + 1 == count});
    }
    SLUICE_ASSIGN_OR_RETURN(Executable * executable, session_.ExecutableFor(count, kForm));
    if (profiler == nullptr) return session_.StepRows(batch, kForm).status();
    profiler->BeginStep(phase, {.tokens = count, .length = sequence.length() + count});
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
  Profiler profiler;
  for (const Phase phase : {Phase::kPrefill, Phase::kDecode}) {
    const bool wanted = (phase == Phase::kPrefill ? options.prompt : options.generate) > 0;
    if (!wanted) continue;
    SLUICE_RETURN_IF_ERROR(driver.RunPhase(phase, nullptr));
    SLUICE_RETURN_IF_ERROR(driver.RunPhase(phase, &profiler));
  }
  return std::move(profiler).Finish();
}

std::vector<ProfileRow> GroupRuns(const Profile& profile, Phase phase, ProfileKey key) {
  std::map<std::string, ProfileRow> by_key;
  std::map<std::string, std::set<std::string>> kernels;
  for (const NodeRun& run : profile.runs) {
    if (profile.steps[run.step].phase != phase) continue;
    const ProfiledNode& node = profile.nodes[run.node];
    const std::string name = KeyOf(node, key);
    ProfileRow& row = by_key[name];
    ++row.calls;
    row.seconds += run.seconds;
    row.cost = row.cost + run.cost;
    if (!node.kernel.empty()) kernels[name].insert(node.kernel);
  }
  std::vector<ProfileRow> rows;
  for (auto& [name, row] : by_key) {
    row.key = name;
    row.kernels.assign(kernels[name].begin(), kernels[name].end());
    rows.push_back(std::move(row));
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const ProfileRow& a, const ProfileRow& b) { return a.seconds > b.seconds; });
  return rows;
}

PhaseTotal TotalOf(const Profile& profile, Phase phase) {
  PhaseTotal total;
  for (const ProfiledStep& step : profile.steps) {
    if (step.phase != phase) continue;
    ++total.steps;
    total.tokens += step.size.tokens;
    total.seconds += step.seconds;
  }
  for (const NodeRun& run : profile.runs) {
    if (profile.steps[run.step].phase != phase) continue;
    total.node_seconds += run.seconds;
    total.cost = total.cost + run.cost;
  }
  return total;
}

}  // namespace sluice
