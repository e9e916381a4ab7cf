#include "runtime/answer.h"

#include <limits>

#include "absl/strings/str_cat.h"
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

absl::Status DraftOptions::Check() const {
  constexpr int64_t kMost = 64;
  if (ngram < 0 || ngram > kMost) {
    return absl::InvalidArgumentError(
        absl::StrCat("the n-gram of drafts is ", ngram, ", expected 0 to ", kMost));
  }
  if (max >= 1 && max <= kMost) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("drafts have ", max, " tokens, expected 1 to ", kMost));
}

RowForm GenerateOptions::row_form() const {
  const bool is_likeliest = !new_filter && !on_logits && sampling.ChoosesAmong(kLikeliest);
  return is_likeliest ? RowForm::kLikeliest : RowForm::kWhole;
}

Answer::Answer(const GenerateOptions& options, absl::Span<const int32_t> prompt)
    : options_(options), sampler_(options.sampling) {
  for (const int32_t token : prompt) sampler_.Accept(token);
  if (options.new_filter) filter_ = options.new_filter();
}

std::optional<int32_t> Answer::End(StopReason reason) {
  reason_ = reason;
  return std::nullopt;
}

int64_t Answer::left() const {
  return options_.max_tokens < 0 ? std::numeric_limits<int64_t>::max()
                                 : options_.max_tokens - generated_;
}

absl::StatusOr<int32_t> Answer::Sample(const LogitRows& row) {
  if (!row.is_whole()) return sampler_.SampleLikeliest(row);
  if (filter_ == nullptr) return sampler_.Sample(row.values);
  SLUICE_ASSIGN_OR_RETURN(const absl::Span<const uint64_t> allowed, filter_->Allowed());
  return sampler_.Sample(row.values, allowed);
}

absl::StatusOr<std::optional<int32_t>> Answer::Next(const LogitRows& row, bool has_room) {
  if (generated_ == options_.max_tokens) return End(StopReason::kLength);
  SLUICE_ASSIGN_OR_RETURN(const int32_t token, Sample(row));
  if (options_.is_end && options_.is_end(token)) return End(StopReason::kEndOfGeneration);
  sampler_.Accept(token);
  if (filter_ != nullptr) filter_->Accept(token);
  ++generated_;
  if (options_.on_logits) options_.on_logits(token, row.values);
  if (options_.on_token && !options_.on_token(token)) return End(StopReason::kCallback);
  if (filter_ != nullptr && filter_->IsComplete()) return End(StopReason::kEndOfGeneration);
  if (generated_ == options_.max_tokens) return End(StopReason::kLength);
  if (!has_room) return End(StopReason::kContext);
  return token;
}

}  // namespace sluice
