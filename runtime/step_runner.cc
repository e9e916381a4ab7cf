#include "runtime/step_runner.h"

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"

namespace sluice {

absl::Status StepLimits::CheckToken(int32_t token) const {
  if (token >= 0 && token < vocabulary) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("token id ", token, " is not in 0 to ", vocabulary - 1, ", the vocabulary"));
}

absl::Status StepLimits::CheckPrompt(absl::Span<const int32_t> prompt) const {
  if (prompt.empty()) return absl::InvalidArgumentError("the prompt is empty: it has no tokens");
  if (static_cast<int64_t>(prompt.size()) >= max_context) {
    return absl::InvalidArgumentError(
        absl::StrCat("the prompt has ", prompt.size(), " tokens, the context has room for ",
                     max_context, ": expected at least one less, for the answer"));
  }
  for (const int32_t token : prompt) SLUICE_RETURN_IF_ERROR(CheckToken(token));
  return absl::OkStatus();
}

absl::StatusOr<LogitRows> StepRunner::StepRows(absl::Span<const StepToken> tokens,
                                               RowForm /*form*/) {
  SLUICE_ASSIGN_OR_RETURN(const absl::Span<const float> logits, Step(tokens));
  return LogitRows{logits};
}

}  // namespace sluice
