#include "runtime/generate.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

absl::Status CheckPrompt(const Session& session, absl::Span<const int32_t> prompt) {
  if (prompt.empty()) return absl::InvalidArgumentError("the prompt is empty: it has no tokens");
  if (static_cast<int64_t>(prompt.size()) >= session.max_context()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the prompt has ", prompt.size(), " tokens, the context has room for ",
                     session.max_context(), ": expected at least one less, for the answer"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view Describe(StopReason reason) {
  switch (reason) {
    case StopReason::kEndOfGeneration:
      return "end of text";
    case StopReason::kLength:
      return "token limit reached";
    case StopReason::kContext:
      return "context full";
    case StopReason::kCallback:
      return "stopped";
  }
  return "";
}

absl::StatusOr<GenerateResult> Generate(Session& session, absl::Span<const int32_t> prompt,
                                        const GenerateOptions& options) {
  return Transcript(session).Continue(prompt, options);
}

absl::StatusOr<GenerateResult> Transcript::Continue(absl::Span<const int32_t> text,
                                                    const GenerateOptions& options) {
  SLUICE_RETURN_IF_ERROR(options.sampling.Check());
  SLUICE_RETURN_IF_ERROR(CheckPrompt(session_, text));
  KeepCommon(text);
  Sampler sampler(options.sampling);
  for (int32_t token : text) sampler.Accept(token);

  GenerateResult result{StopReason::kLength};
  auto start = Clock::now();
  SLUICE_ASSIGN_OR_RETURN(absl::Span<const float> logits, RunPrompt(options, &result));
  result.prompt_seconds = SecondsSince(start);
  if (result.reason == StopReason::kCallback) return result;
  start = Clock::now();
  SLUICE_RETURN_IF_ERROR(Decode(logits, options, &sampler, &result));
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
absl::StatusOr<absl::Span<const float>> Transcript::RunPrompt(const GenerateOptions& options,
                                                              GenerateResult* result) {
  absl::Span<const float> logits;
  const auto size = static_cast<int64_t>(held_.size());
  while (sequence_->length() < size) {
    if (options.is_stopped && options.is_stopped()) {
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

absl::Status Transcript::Decode(absl::Span<const float> logits, const GenerateOptions& options,
                                Sampler* sampler, GenerateResult* result) {
  while (options.max_tokens < 0 || result->generated < options.max_tokens) {
    if (options.is_stopped && options.is_stopped()) {
      result->reason = StopReason::kCallback;
      break;
    }
    SLUICE_ASSIGN_OR_RETURN(const int32_t token, sampler->Sample(logits));
    if (options.is_end && options.is_end(token)) {
      result->reason = StopReason::kEndOfGeneration;
      break;
    }
    sampler->Accept(token);
    ++result->generated;
    if (options.on_token && !options.on_token(token)) {
      result->reason = StopReason::kCallback;
      break;
    }
    if (result->generated == options.max_tokens) break;
    if (sequence_->length() == session_.max_context()) {
      result->reason = StopReason::kContext;
      break;
    }
    held_.push_back(token);
    const StepToken next{sequence_.get(), token, true};
    SLUICE_ASSIGN_OR_RETURN(logits, session_.Step({&next, 1}));
  }
  return absl::OkStatus();
}

}  // namespace sluice
