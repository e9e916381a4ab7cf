// Generation of one sequence: prompt in, tokens out, until something ends it. What is in the
// sequence already is not run again.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/answer.h"
#include "runtime/session.h"
#include "runtime/speculation.h"

namespace sluice {

struct GenerateResult {
  StopReason reason;
  int64_t prompted = 0;   // tokens of the prompt that were run
  int64_t generated = 0;  // tokens given to on_token
  int64_t drafted = 0;    // tokens guessed, see speculation.h
  int64_t accepted = 0;   // of these, rightly
  double prompt_seconds = 0;
  double decode_seconds = 0;
};

// Errors: an empty prompt, one that leaves no room for a token, bad options, and what the step
// reports (non-finite logits among it).
absl::StatusOr<GenerateResult> Generate(Session& session, absl::Span<const int32_t> prompt,
                                        const GenerateOptions& options);

// A text that is continued again and again, such as a conversation: it keeps the tokens that its
// sequence holds, and runs only what is new.
class Transcript {
 public:
  explicit Transcript(Session& session) : session_(session), sequence_(session.NewSequence()) {}

  // Generate for the whole of `text`, of which the part that the sequence begins with is not run
  // again. After an error, too, the next call goes on from what the sequence holds.
  absl::StatusOr<GenerateResult> Continue(absl::Span<const int32_t> text,
                                          const GenerateOptions& options);

 private:
  void KeepCommon(absl::Span<const int32_t> text);
  absl::StatusOr<LogitRows> RunPrompt(const Answer& answer, GenerateResult* result);
  absl::Status Decode(LogitRows rows, const DraftOptions& draft, Answer* answer,
                      GenerateResult* result);
  absl::StatusOr<bool> TakeRows(const LogitRows& rows, Speculation* speculation, Answer* answer,
                                GenerateResult* result);
  absl::StatusOr<LogitRows> RunNext(const Answer& answer, Speculation* speculation);

  Session& session_;
  std::unique_ptr<Sequence> sequence_;
  // The text. Those of its tokens that are run are what the sequence begins with.
  std::vector<int32_t> held_;
  std::vector<StepToken> step_;
};

}  // namespace sluice
