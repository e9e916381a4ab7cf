#include "runtime/generate.h"

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
  SLUICE_RETURN_IF_ERROR(options.sampling.Check());
  SLUICE_RETURN_IF_ERROR(CheckPrompt(session, prompt));
  Sampler sampler(options.sampling);
  for (int32_t token : prompt) sampler.Accept(token);

  GenerateResult result{StopReason::kLength};
  auto start = Clock::now();
  const std::unique_ptr<Sequence> sequence = session.NewSequence();
  SLUICE_ASSIGN_OR_RETURN(absl::Span<const float> logits, session.Prefill(*sequence, prompt));
  result.prompt_seconds = SecondsSince(start);
  start = Clock::now();
  while (options.max_tokens < 0 || result.generated < options.max_tokens) {
    SLUICE_ASSIGN_OR_RETURN(const int32_t token, sampler.Sample(logits));
    if (options.is_end && options.is_end(token)) {
      result.reason = StopReason::kEndOfGeneration;
      break;
    }
    sampler.Accept(token);
    ++result.generated;
    if (options.on_token && !options.on_token(token)) {
      result.reason = StopReason::kCallback;
      break;
    }
    if (result.generated == options.max_tokens) break;
    if (sequence->length() == session.max_context()) {
      result.reason = StopReason::kContext;
      break;
    }
    const StepToken next{sequence.get(), token, true};
    SLUICE_ASSIGN_OR_RETURN(logits, session.Step({&next, 1}));
  }
  result.decode_seconds = SecondsSince(start);
  return result;
}

}  // namespace sluice
