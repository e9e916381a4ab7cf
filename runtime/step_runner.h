// What runs steps, as the scheduler sees it: a session, or a model of one in tests.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/logit_rows.h"
#include "runtime/sequence.h"

namespace sluice {

struct StepLimits {
  int64_t max_tokens = 0;   // of one step
  int64_t max_seqs = 0;     // of one step
  int64_t max_outputs = 0;  // rows of logits of one step
  int64_t max_context = 0;  // positions of one sequence, a multiple of block_size
  int64_t block_size = 0;
  int64_t vocabulary = 0;

  // InvalidArgument: not in the vocabulary.
  absl::Status CheckToken(int32_t token) const;
  // InvalidArgument: the prompt is empty, leaves no room for an answer, or fails CheckToken.
  absl::Status CheckPrompt(absl::Span<const int32_t> prompt) const;
};

// One token of a step. Tokens of a sequence come in order; sequences may be mixed.
struct StepToken {
  Sequence* sequence;
  int32_t token;
  bool want_logits;
  // `token` is the sequence's last one and is run again, for its logits; the sequence stays as it
  // is. Its keys and values are written past the end, where the next token will overwrite them, and
  // not to their place, which may be in a block that others read. The only token of its sequence.
  bool replay = false;
};

class StepRunner {
 public:
  virtual ~StepRunner() = default;

  virtual const StepLimits& limits() const = 0;
  virtual BlockPool& pool() = 0;
  virtual std::unique_ptr<Sequence> NewSequence() = 0;

  // Runs one step over all `tokens` and appends them to their sequences. Returns the wanted logits,
  // [rows, vocabulary], valid until the next step. On an error the sequences are as before.
  // OutOfRange: a sequence would exceed max_context.
  virtual absl::StatusOr<absl::Span<const float>> Step(absl::Span<const StepToken> tokens) = 0;

  // The same with rows of a form. A runner for which whole rows cost no more gives these always.
  virtual absl::StatusOr<LogitRows> StepRows(absl::Span<const StepToken> tokens, RowForm form);
};

}  // namespace sluice
