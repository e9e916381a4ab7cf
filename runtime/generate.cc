#include "runtime/generate.h"

#include <algorithm>
#include <chrono>

#include "graph/status_macros.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

absl::StatusOr<GenerateResult> Generate(Session& session, absl::Span<const int32_t> prompt,
                                        const GenerateOptions& options) {
  return Transcript(session).Continue(prompt, options);
}

absl::StatusOr<GenerateResult> Transcript::Continue(absl::Span<const int32_t> text,
                                                    const GenerateOptions& options) {
  SLUICE_RETURN_IF_ERROR(options.sampling.Check());
  SLUICE_RETURN_IF_ERROR(options.draft.Check());
  SLUICE_RETURN_IF_ERROR(session_.limits().CheckPrompt(text));
  KeepCommon(text);
  Answer answer(options, text);

  GenerateResult result{StopReason::kLength};
  auto start = Clock::now();
  SLUICE_ASSIGN_OR_RETURN(const LogitRows rows, RunPrompt(answer, &result));
  result.prompt_seconds = SecondsSince(start);
  if (result.reason == StopReason::kCallback) return result;
  start = Clock::now();
  SLUICE_RETURN_IF_ERROR(Decode(rows, options.draft, &answer, &result));
  result.decode_seconds = SecondsSince(start);
  return result;
}

// Forgets what the sequence does not have in common with `text`. The last token is always run: its
// logits are what the answer begins with.
void Transcript::KeepCommon(absl::Span<const int32_t> text) {
  // An answer that was stopped leaves a draft in the sequence, an error tokens that were not run.
  const int64_t length = std::min(sequence_->length(), static_cast<int64_t>(held_.size()));
  held_.resize(static_cast<size_t>(length));
  const auto parted = std::mismatch(held_.begin(), held_.end(), text.begin(), text.end() - 1);
  sequence_->Truncate(parted.first - held_.begin());
  held_.assign(text.begin(), text.end());
  held_.reserve(static_cast<size_t>(session_.max_context()));  // steps allocate nothing
}

// Runs what is held and not in the sequence. Gives the last token's row; none if it was stopped.
absl::StatusOr<LogitRows> Transcript::RunPrompt(const Answer& answer, GenerateResult* result) {
  LogitRows rows;
  const auto size = static_cast<int64_t>(held_.size());
  while (sequence_->length() < size) {
    if (answer.IsStopped()) {
      result->reason = StopReason::kCallback;
      break;
    }
    const int64_t begin = sequence_->length();
    const int64_t count = std::min(size - begin, session_.max_tokens());
    step_.clear();
    for (int64_t at = begin; at < begin + count; ++at) {
      step_.push_back({sequence_.get(), held_[static_cast<size_t>(at)], at + 1 == size});
    }
    SLUICE_ASSIGN_OR_RETURN(rows, session_.StepRows(step_, answer.row_form()));
    result->prompted += count;
  }
  return rows;
}

absl::Status Transcript::Decode(LogitRows rows, const DraftOptions& draft, Answer* answer,
                                GenerateResult* result) {
  Speculation speculation(draft);
  while (!answer->IsStopped()) {
    SLUICE_ASSIGN_OR_RETURN(const bool goes_on, TakeRows(rows, &speculation, answer, result));
    if (!goes_on) return absl::OkStatus();
    SLUICE_ASSIGN_OR_RETURN(rows, RunNext(*answer, &speculation));
  }
  result->reason = StopReason::kCallback;
  return absl::OkStatus();
}

// Draws what the rows of the last step allow, and takes back from the sequence what was guessed
// wrongly.
absl::StatusOr<bool> Transcript::TakeRows(const LogitRows& rows, Speculation* speculation,
                                          Answer* answer, GenerateResult* result) {
  const auto run = static_cast<int64_t>(held_.size());
  const absl::StatusOr<bool> goes_on =
      speculation->Take(rows, session_.max_context() - run, *answer, &held_);
  sequence_->Truncate(run + speculation->held());
  result->generated = answer->generated();
  result->reason = answer->reason();
  result->drafted = speculation->drafted();
  result->accepted = speculation->accepted();
  return goes_on;
}

// Runs the last token, and a draft as far as there is room for one.
absl::StatusOr<LogitRows> Transcript::RunNext(const Answer& answer, Speculation* speculation) {
  const StepLimits& limits = session_.limits();
  const auto size = static_cast<int64_t>(held_.size());
  const int64_t positions = sequence_->room() + session_.pool().free() * limits.block_size;
  speculation->Draft(held_, std::min({limits.max_outputs - 1, limits.max_context - size,
                                      positions - 1, answer.left() - 1}));
  step_.clear();
  step_.push_back({sequence_.get(), held_.back(), true});
  for (const int32_t token : speculation->draft()) step_.push_back({sequence_.get(), token, true});
  return session_.StepRows(step_, answer.row_form());
}

}  // namespace sluice
