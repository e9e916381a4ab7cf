#include "runtime/generate.h"

#include <algorithm>
#include <chrono>
#include <optional>

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
  SLUICE_RETURN_IF_ERROR(session_.limits().CheckPrompt(text));
  KeepCommon(text);
  Answer answer(options, text);

  GenerateResult result{StopReason::kLength};
  auto start = Clock::now();
  SLUICE_ASSIGN_OR_RETURN(absl::Span<const float> logits, RunPrompt(answer, &result));
  result.prompt_seconds = SecondsSince(start);
  if (result.reason == StopReason::kCallback) return result;
  start = Clock::now();
  SLUICE_RETURN_IF_ERROR(Decode(logits, &answer, &result));
  result.decode_seconds = SecondsSince(start);
  return result;
}

// Forgets what the sequence does not have in common with `text`. The last token is always run: its
// logits are what the answer begins with.
void Transcript::KeepCommon(absl::Span<const int32_t> text) {
  held_.resize(static_cast<size_t>(sequence_->length()));
  const auto parted = std::mismatch(held_.begin(), held_.end(), text.begin(), text.end() - 1);
  sequence_->Truncate(parted.first - held_.begin());
  held_.assign(text.begin(), text.end());
  held_.reserve(static_cast<size_t>(session_.max_context()));  // steps allocate nothing
}

// Runs what is held and not in the sequence. The logits of the last token; none if it was stopped.
absl::StatusOr<absl::Span<const float>> Transcript::RunPrompt(const Answer& answer,
                                                              GenerateResult* result) {
  absl::Span<const float> logits;
  const auto size = static_cast<int64_t>(held_.size());
  while (sequence_->length() < size) {
    if (answer.IsStopped()) {
      result->reason = StopReason::kCallback;
      break;
    }
    const int64_t begin = sequence_->length();
    const int64_t count = std::min(size - begin, session_.max_tokens());
    const auto part =
        absl::MakeConstSpan(held_).subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
    SLUICE_ASSIGN_OR_RETURN(logits, session_.Prefill(*sequence_, part));
    result->prompted += count;
  }
  return logits;
}

absl::Status Transcript::Decode(absl::Span<const float> logits, Answer* answer,
                                GenerateResult* result) {
  while (!answer->IsStopped()) {
    const bool has_room = sequence_->length() < session_.max_context();
    SLUICE_ASSIGN_OR_RETURN(const std::optional<int32_t> token, answer->Next(logits, has_room));
    result->generated = answer->generated();
    result->reason = answer->reason();
    if (!token.has_value()) return absl::OkStatus();
    held_.push_back(*token);
    const StepToken next{sequence_.get(), *token, true};
    SLUICE_ASSIGN_OR_RETURN(logits, session_.Step({&next, 1}));
  }
  result->reason = StopReason::kCallback;
  return absl::OkStatus();
}

}  // namespace sluice
