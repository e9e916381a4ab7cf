// A decoder or an encoder ready to run: executables for its step sizes, the KV cache, and
// sequences.
//
// Knows the contracts of graph/decoder_interface.h and graph/encoder_interface.h and nothing else
// of a model. What is said of logits holds for the rows of an encoder, too; `Encoder` runs it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "backends/backend.h"
#include "graph/graph.h"
#include "graph/weights.h"
#include "passes/pass_manager.h"
#include "runtime/block_pool.h"
#include "runtime/step_batch.h"
#include "runtime/step_runner.h"

namespace sluice {

struct SessionOptions {
  int64_t max_outputs = 1;       // rows of logits that one step may ask for
  std::vector<int64_t> buckets;  // rising numbers of tokens; empty: DefaultTokenBuckets
  // That weights in layouts of their own may take. Unset: DefaultPrepackBytes.
  std::optional<int64_t> prepack_bytes = {};
  // Of a decoder: steps for which the likeliest tokens are enough leave the choice of these to the
  // device. Unset: where it copies outputs to the host.
  std::optional<bool> chooses_likeliest = {};
  PassOptions passes;
};

// What can be spared for packed weights: nine tenths of the memory that is free, less the states
// and activations of `graph`, as built.
absl::StatusOr<int64_t> DefaultPrepackBytes(const Graph& graph);

class Session final : public StepRunner {
 public:
  // `graph` is a decoder or an encoder as built: its bounds say how many tokens, sequences and
  // cache blocks there may be. `weights` and `backend` outlive the session. Errors: the graph is no
  // decoder (what is missing or unknown is named), or what passes and backend report.
  static absl::StatusOr<std::unique_ptr<Session>> Create(Graph graph, const WeightTable& weights,
                                                         Backend& backend,
                                                         const SessionOptions& options);

  const StepLimits& limits() const override { return limits_; }
  int64_t max_tokens() const { return limits_.max_tokens; }    // of one step
  int64_t max_seqs() const { return limits_.max_seqs; }        // of one step
  int64_t max_context() const { return limits_.max_context; }  // positions of one sequence
  int64_t vocabulary() const { return limits_.vocabulary; }

  // Optimised as far as it is the same for every size of step.
  const Graph& graph() const { return graph_; }

  std::unique_ptr<Sequence> NewSequence() override;
  BlockPool& pool() override { return pool_; }

  // Allocates nothing but for the executable of a bucket's first step of a form.
  absl::StatusOr<absl::Span<const float>> Step(absl::Span<const StepToken> tokens) override;
  absl::StatusOr<LogitRows> StepRows(absl::Span<const StepToken> tokens, RowForm form) override;

  // Appends `tokens` to `sequence` in chunks of at most `chunk` (0: max_tokens()) and returns the
  // logits of the last one.
  absl::StatusOr<absl::Span<const float>> Prefill(Sequence& sequence,
                                                  absl::Span<const int32_t> tokens,
                                                  int64_t chunk = 0);

  // Sees every node of the following steps; nullptr: nobody.
  void set_observer(RunObserver* observer) { observer_ = observer; }
  // Numbers of tokens that executables are made for, rising.
  std::vector<int64_t> buckets() const;
  // The form in which StepRows gives rows for which `form` is enough.
  RowForm FormFor(RowForm form) const { return chooses_likeliest_ ? form : RowForm::kWhole; }
  // The executable that a step of `tokens` tokens runs, compiled on first use.
  absl::StatusOr<Executable*> ExecutableFor(int64_t tokens, RowForm form = RowForm::kWhole);

 private:
  struct Bucket {
    int64_t tokens;  // bound
    std::unique_ptr<Executable> whole = {}, likeliest = {};
  };

  Session(Graph graph, const WeightTable& weights, Backend& backend, const SessionOptions& options);
  absl::Status Initialise();
  absl::Status ReadLimits();
  absl::Status MakeBuckets();
  absl::Status AllocateStates();
  absl::StatusOr<std::unique_ptr<Executable>> Compile(int64_t tokens, RowForm form);
  absl::StatusOr<Executable*> RunStep(RowForm form);

  Graph graph_;
  const WeightTable& weights_;
  Backend& backend_;
  SessionOptions options_;
  bool chooses_likeliest_ = false;
  RunObserver* observer_ = nullptr;
  StepLimits limits_;
  BlockPool pool_{0};
  std::vector<Bucket> buckets_;  // by rising bound
  PackPlan packs_;               // shared by all of them
  std::vector<std::unique_ptr<Buffer>> states_;
  std::vector<Buffer*> state_pointers_;
  std::optional<StepBatch> batch_;  // there once the limits are known; reused from step to step
  std::vector<TensorView> input_views_;
  RunArgs args_;
};

}  // namespace sluice
