#include "tools/debug/verify.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backends/ref/ref_backend.h"
#include "graph/decoder_interface.h"
#include "graph/encoder_interface.h"
#include "graph/status_macros.h"
#include "passes/pipeline.h"
#include "passes/specialise.h"
#include "runtime/session.h"
#include "tools/debug/diff.h"
#include "tools/debug/random_data.h"

namespace sluice {
namespace {

using Steps = std::vector<StepComparison>;

// No pass at all: for a graph that runs as it is.
PassOptions NoPasses() { return {.limit = 0}; }

// A backend without kernels, the reference, runs what was built.
PassOptions PassesFor(const Backend& backend) {
  return backend.kernels() == nullptr ? NoPasses() : PassOptions();
}

absl::StatusOr<Comparison> CompareOrCheck(const std::optional<Recording>& expected,
                                          const RunStep& got, const CompareOptions& options) {
  return expected.has_value() ? Compare(*expected, got, options) : FindNonFinite(got);
}

absl::Status CheckAsIs(const Graph& graph, const Backend& backend) {
  if (backend.kernels() != nullptr) return VerifyPlan(backend, graph);
  return absl::InvalidArgumentError(
      absl::StrCat("as it stands, a graph runs with its kernels and places, and ", backend.name(),
                   " has neither; expected another backend"));
}

// What a pass made.
struct PassOutcome {
  std::string pass;
  Graph graph;
};

// Whether the graphs differ in what they compute; how they do it does not count.
bool ComputesOther(const Graph& before, const Graph& after) {
  static const std::vector<std::string> kHow = {"bound",   "layout", "kernel", "memory",
                                                "scratch", "once",   "origin"};
  return !Diff(before, after, kHow).empty();
}

absl::StatusOr<std::vector<PassOutcome>> StagesOf(const Graph& graph, const Backend& target,
                                                  const SymbolValues& bucket) {
  std::vector<PassOutcome> stages;
  PassOptions options = {.bucket = bucket};
  const Graph* last = &graph;
  options.after_each = [&](absl::string_view pass, const Graph& stage) {
    if (!ComputesOther(*last, stage)) return;
    stages.push_back({std::string(pass), stage.Clone()});
    last = &stages.back().graph;
  };
  Graph compiled = graph.Clone();
  SLUICE_RETURN_IF_ERROR(Optimize(target, options, &compiled));
  return stages;
}

// --- Decoders and encoders ------------------------------------------------------------------

// One side: a session that runs the prompt, then the last token; in an encoder, where all tokens of
// a text belong in one step, the whole text.
class DecoderRun {
 public:
  static absl::StatusOr<DecoderRun> Open(const Graph& graph, const DecoderSetup& setup,
                                         Backend& backend, const PassOptions& passes) {
    DecoderRun run(setup);
    const int64_t prepack_bytes = backend.kernels() != nullptr ? setup.prepack_bytes : 0;
    SLUICE_ASSIGN_OR_RETURN(run.session_,
                            Session::Create(graph.Clone(), setup.weights, backend,
                                            {.prepack_bytes = prepack_bytes, .passes = passes}));
    run.sequence_ = run.session_->NewSequence();
    return run;
  }

  // `graph` with the layouts that its weights have in this run.
  absl::StatusOr<Graph> WithLayouts(const Graph& graph) const {
    SLUICE_ASSIGN_OR_RETURN(const Executable* const step, session_->ExecutableFor(1));
    Graph result = graph.Clone();
    for (const auto& weight : result.weights()) {
      const Value* packed = step->graph().Find(weight->ref());
      if (packed != nullptr) weight->set_layout(packed->layout());
    }
    return result;
  }

  // The prompt in one step, seen by the observer.
  absl::Status Prompt(RunObserver* observer) {
    return Step(tokens_.first(tokens_.size() - 1), observer);
  }
  absl::Status WholeText(RunObserver* observer) { return Step(tokens_, observer); }
  // The last token; the prompt, too, if it has not been run yet, unobserved and in any pieces.
  absl::Status LastToken(RunObserver* observer) {
    if (sequence_->length() == 0) {
      session_->set_observer(nullptr);
      SLUICE_RETURN_IF_ERROR(
          session_->Prefill(*sequence_, tokens_.first(tokens_.size() - 1)).status());
    }
    return Step(tokens_.last(1), observer);
  }

 private:
  explicit DecoderRun(const DecoderSetup& setup) : tokens_(setup.tokens) {}

  absl::Status Step(absl::Span<const int32_t> tokens, RunObserver* observer) {
    std::vector<StepToken> step;
    for (const int32_t token : tokens) step.push_back({sequence_.get(), token, false});
    step.back().want_logits = true;
    session_->set_observer(observer);
    return session_->Step(step).status();
  }

  absl::Span<const int32_t> tokens_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<Sequence> sequence_;
};

struct DecoderStep {
  std::string name;
  int64_t tokens;
  absl::Status (DecoderRun::*run)(RunObserver* observer);
};

std::vector<DecoderStep> StepsOf(const DecoderSetup& setup) {
  const auto tokens = static_cast<int64_t>(setup.tokens.size()), prompt = tokens - 1;
  if (PoolingOf(setup.graph).has_value()) {
    return {{absl::StrCat("the text, ", tokens, " tokens"), tokens, &DecoderRun::WholeText}};
  }
  return {{absl::StrCat("the prompt, ", prompt, " tokens"), prompt, &DecoderRun::Prompt},
          {"the next token", 1, &DecoderRun::LastToken}};
}

// One sequence, and the logits of its last token.
SymbolValues SizesOf(const DecoderStep& step) {
  SymbolValues sizes;
  sizes.Set(decoder::kTokens, step.tokens);
  sizes.Set(decoder::kOutputs, 1);
  sizes.Set(decoder::kSeqs, 1);
  return sizes;
}

absl::StatusOr<Graph> WithBounds(const Graph& graph, const SymbolValues& bounds) {
  Graph result = graph.Clone();
  for (const auto& [symbol, bound] : bounds.entries()) {
    SLUICE_RETURN_IF_ERROR(result.SetBound(symbol, bound));
  }
  return result;
}

// Adds the comparison; returns whether it has a fault.
absl::StatusOr<bool> Add(std::string name, Comparison comparison, const Graph& graph,
                         const SymbolValues& sizes, Steps* steps) {
  const bool is_wrong = comparison.fault.has_value();
  steps->push_back({std::move(name), std::move(comparison), Graph()});
  if (is_wrong) {
    SLUICE_ASSIGN_OR_RETURN(steps->back().graph, WithBounds(graph, sizes));
  }
  return is_wrong;
}

}  // namespace

absl::StatusOr<Steps> CompareBackends(const DecoderSetup& setup, Backend* expected, Backend& got,
                                      const CompareOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(DecoderRun run,
                          DecoderRun::Open(setup.graph, setup, got, PassesFor(got)));
  std::optional<DecoderRun> oracle;
  if (expected != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(const Graph graph, run.WithLayouts(setup.graph));
    SLUICE_ASSIGN_OR_RETURN(oracle,
                            DecoderRun::Open(graph, setup, *expected, PassesFor(*expected)));
  }
  Steps steps;
  for (const DecoderStep& step : StepsOf(setup)) {
    std::optional<Recording> recording;
    if (oracle.has_value()) {
      SLUICE_ASSIGN_OR_RETURN(recording, Recording::Of([&](RunObserver* observer) {
                                return ((*oracle).*step.run)(observer);
                              }));
    }
    SLUICE_ASSIGN_OR_RETURN(
        Comparison comparison,
        CompareOrCheck(
            recording, [&](RunObserver* observer) { return (run.*step.run)(observer); }, options));
    SLUICE_ASSIGN_OR_RETURN(const bool is_wrong, Add(step.name, std::move(comparison), setup.graph,
                                                     SizesOf(step), &steps));
    if (is_wrong) break;
  }
  return steps;
}

absl::StatusOr<Steps> ComparePasses(const DecoderSetup& setup, const Backend& target,
                                    const CompareOptions& options) {
  const std::unique_ptr<Backend> ref = MakeRefBackend();
  const auto run_on = [&](const Graph& graph, const DecoderStep& step) {
    return [&](RunObserver* observer) -> absl::Status {
      SLUICE_ASSIGN_OR_RETURN(DecoderRun run, DecoderRun::Open(graph, setup, *ref, NoPasses()));
      return (run.*step.run)(observer);
    };
  };
  Steps steps;
  for (const DecoderStep& step : StepsOf(setup)) {
    SLUICE_ASSIGN_OR_RETURN(const std::vector<PassOutcome> stages,
                            StagesOf(setup.graph, target, BucketBounds(step.tokens, 1)));
    SLUICE_ASSIGN_OR_RETURN(const Recording expected, Recording::Of(run_on(setup.graph, step)));
    for (const PassOutcome& stage : stages) {
      SLUICE_ASSIGN_OR_RETURN(Comparison comparison,
                              Compare(expected, run_on(stage.graph, step), options));
      SLUICE_ASSIGN_OR_RETURN(const bool is_wrong,
                              Add(absl::StrCat("after ", stage.pass, ", ", step.name),
                                  std::move(comparison), setup.graph, SizesOf(step), &steps));
      if (is_wrong) return steps;
    }
  }
  return steps;
}

// --- Any graph ------------------------------------------------------------------------------

absl::StatusOr<Steps> CompareBackends(const GraphSetup& setup, Backend* expected, Backend& got,
                                      const CompareOptions& options) {
  const Graph& graph = setup.graph;
  if (setup.as_is) SLUICE_RETURN_IF_ERROR(CheckAsIs(graph, got));
  SLUICE_ASSIGN_OR_RETURN(const RandomData data, RandomData::Make(graph, setup.seed));
  const auto run_on = [&](Backend& backend, const PassOptions& passes) {
    return [&data, &graph, &backend, passes](RunObserver* observer) -> absl::Status {
      Graph compiled = graph.Clone();
      SLUICE_RETURN_IF_ERROR(Optimize(backend, passes, &compiled));
      return data.Run(backend, compiled, observer).status();
    };
  };
  std::optional<Recording> recording;
  if (expected != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(recording, Recording::Of(run_on(*expected, PassesFor(*expected))));
  }
  const PassOptions passes = setup.as_is ? NoPasses() : PassesFor(got);
  SLUICE_ASSIGN_OR_RETURN(Comparison comparison,
                          CompareOrCheck(recording, run_on(got, passes), options));
  Steps steps;
  SLUICE_RETURN_IF_ERROR(
      Add("random data", std::move(comparison), graph, graph.Bounds(), &steps).status());
  return steps;
}

absl::StatusOr<Steps> ComparePasses(const GraphSetup& setup, const Backend& target,
                                    const CompareOptions& options) {
  const Graph& graph = setup.graph;
  const std::unique_ptr<Backend> ref = MakeRefBackend();
  SLUICE_ASSIGN_OR_RETURN(const RandomData data, RandomData::Make(graph, setup.seed));
  const auto run = [&](const Graph& stage) {
    return [&](RunObserver* observer) { return data.Run(*ref, stage, observer).status(); };
  };
  SLUICE_ASSIGN_OR_RETURN(const std::vector<PassOutcome> stages, StagesOf(graph, target, {}));
  SLUICE_ASSIGN_OR_RETURN(const Recording expected, Recording::Of(run(graph)));
  Steps steps;
  for (const PassOutcome& stage : stages) {
    SLUICE_ASSIGN_OR_RETURN(Comparison comparison, Compare(expected, run(stage.graph), options));
    SLUICE_ASSIGN_OR_RETURN(const bool is_wrong,
                            Add(absl::StrCat("after ", stage.pass), std::move(comparison), graph,
                                graph.Bounds(), &steps));
    if (is_wrong) break;
  }
  return steps;
}

std::string NoteOnPlan(const Graph& graph, const Backend& target) {
  if (StageOf(graph, ContextOf(target)) != Stage::kPlaces) return "";
  if (target.kernels() == nullptr) {
    return absl::StrCat("the graph has a memory plan, which ", target.name(), " does not look at");
  }
  constexpr absl::string_view kAsIs = "it is made anew, and --as-is runs it as it stands";
  const absl::Status status = VerifyPlan(target, graph);
  if (status.ok()) return absl::StrCat("the graph has a memory plan: ", kAsIs);
  return absl::StrCat("the graph's plan does not hold for ", target.name(), ": ", status.message(),
                      "; ", kAsIs);
}

int64_t ValuesSeen(absl::Span<const StepComparison> steps) {
  int64_t seen = 0;
  for (const StepComparison& step : steps) seen += step.comparison.seen();
  return seen;
}

const StepComparison* FirstFault(absl::Span<const StepComparison> steps) {
  for (const StepComparison& step : steps) {
    if (step.comparison.fault.has_value()) return &step;
  }
  return nullptr;
}

}  // namespace sluice
