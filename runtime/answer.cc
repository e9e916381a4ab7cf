#include "runtime/answer.h"

#include "graph/status_macros.h"

namespace sluice {

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

Answer::Answer(const GenerateOptions& options, absl::Span<const int32_t> prompt)
    : options_(options), sampler_(options.sampling) {
  for (const int32_t token : prompt) sampler_.Accept(token);
}

std::optional<int32_t> Answer::End(StopReason reason) {
  reason_ = reason;
  return std::nullopt;
}

absl::StatusOr<std::optional<int32_t>> Answer::Next(absl::Span<const float> logits, bool has_room) {
  if (generated_ == options_.max_tokens) return End(StopReason::kLength);
  SLUICE_ASSIGN_OR_RETURN(const int32_t token, sampler_.Sample(logits));
  if (options_.is_end && options_.is_end(token)) return End(StopReason::kEndOfGeneration);
  sampler_.Accept(token);
  ++generated_;
  if (options_.on_token && !options_.on_token(token)) return End(StopReason::kCallback);
  if (generated_ == options_.max_tokens) return End(StopReason::kLength);
  if (!has_room) return End(StopReason::kContext);
  return token;
}

}  // namespace sluice
