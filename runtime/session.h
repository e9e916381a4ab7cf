// A decoder or an encoder ready to run: executables for its step sizes, the KV cache, and
// sequences.
//
// Knows the contracts of graph/decoder_interface.h and graph/encoder_interface.h and nothing else
// of a model. What is said of logits holds for the rows of an encoder, too; `Encoder` runs it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "backends/backend.h"
#include "graph/graph.h"
#include "graph/weights.h"
#include "passes/pass_manager.h"
#include "runtime/block_pool.h"

namespace sluice {

struct SessionOptions {
  int64_t max_outputs = 1;       // rows of logits that one step may ask for
  std::vector<int64_t> buckets;  // rising numbers of tokens; empty: DefaultTokenBuckets
  int64_t prepack_bytes = 0;     // that weights in layouts of their own may take
  PassOptions passes;
};

// One token of a step. Tokens of a sequence come in order; sequences may be mixed.
struct StepToken {
  Sequence* sequence;
  int32_t token;
  bool want_logits;
};

class Session {
 public:
  // `graph` is a decoder or an encoder as built: its bounds say how many tokens, sequences and
  // cache blocks there may be. `weights` and `backend` outlive the session. Errors: the graph is no
  // decoder (the missing input is named), or what passes and backend report.
  static absl::StatusOr<std::unique_ptr<Session>> Create(Graph graph, const WeightTable& weights,
                                                         Backend& backend,
                                                         const SessionOptions& options);

  int64_t max_tokens() const { return max_tokens_; }    // of one step
  int64_t max_seqs() const { return max_seqs_; }        // of one step
  int64_t max_context() const { return max_context_; }  // positions of one sequence
  int64_t vocabulary() const { return vocabulary_; }

  // Optimised as far as it is the same for every size of step.
  const Graph& graph() const { return graph_; }

  std::unique_ptr<Sequence> NewSequence();
  const BlockPool& pool() const { return pool_; }

  // Runs one step over all `tokens` and appends them to their sequences. Returns the wanted logits,
  // [rows, vocabulary], valid until the next step. On an error the sequences are as before.
  // OutOfRange: a sequence would exceed max_context(). Allocates nothing but for the executable of
  // a bucket's first step.
  absl::StatusOr<absl::Span<const float>> Step(absl::Span<const StepToken> tokens);

  // Appends `tokens` to `sequence` in chunks of at most `chunk` (0: max_tokens()) and returns the
  // logits of the last one.
  absl::StatusOr<absl::Span<const float>> Prefill(Sequence& sequence,
                                                  absl::Span<const int32_t> tokens,
                                                  int64_t chunk = 0);

  // Sees every node of the following steps; nullptr: nobody.
  void set_observer(RunObserver* observer) { observer_ = observer; }
  // Numbers of tokens that executables are made for, rising.
  std::vector<int64_t> buckets() const;
  // The executable that a step of `tokens` tokens runs, compiled on first use.
  absl::StatusOr<Executable*> ExecutableFor(int64_t tokens);

 private:
  struct Bucket {
    int64_t tokens;  // bound
    std::unique_ptr<Executable> executable;
  };
  // The step's inputs as the graph takes them; storage is reused from step to step.
  struct Inputs {
    std::vector<int32_t> token_ids, positions, seq_ids, slots, block_tables, context_lens,
        output_rows;
    std::vector<Sequence*> sequences;
    std::vector<int64_t> old_lengths;     // of the sequences, before the step
    std::vector<int64_t> next_positions;  // of the sequences' tokens that are not in the lists yet
    int64_t table = 1;
  };

  Session(Graph graph, const WeightTable& weights, Backend& backend, const SessionOptions& options);
  absl::Status Initialise();
  absl::Status MakeBuckets();
  absl::Status AllocateStates();
  void ReserveInputs(int64_t table);
  absl::Status CheckStep(absl::Span<const StepToken> tokens) const;
  absl::Status ExtendSequences(absl::Span<const StepToken> tokens);
  void FillInputs(absl::Span<const StepToken> tokens);
  void RollBack();
  absl::StatusOr<Executable*> RunStep();
  std::vector<int32_t>* InputNamed(absl::string_view name);

  Graph graph_;
  const WeightTable& weights_;
  Backend& backend_;
  SessionOptions options_;
  RunObserver* observer_ = nullptr;
  int64_t max_tokens_ = 0, max_context_ = 0, max_seqs_ = 0, vocabulary_ = 0, block_size_ = 0;
  BlockPool pool_{0};
  std::vector<Bucket> buckets_;  // by rising bound
  PackPlan packs_;               // shared by all of them
  std::vector<std::unique_ptr<Buffer>> states_;
  std::vector<Buffer*> state_pointers_;
  Inputs in_;
  std::vector<TensorView> input_views_;
  RunArgs args_;
};

}  // namespace sluice
