#include "runtime/speculation.h"

#include <algorithm>
#include <optional>

#include "graph/status_macros.h"

namespace sluice {
namespace {

// The end of the last place in `text` that has the most tokens, up to `most`, in common with its
// end; 0 if none has `least`.
size_t FindEnd(absl::Span<const int32_t> text, size_t least, size_t most) {
  size_t best = 0, longest = least - 1;
  for (size_t end = text.size() - 1; end >= least && longest < most; --end) {
    size_t common = 0;
    while (common < std::min(most, end) &&
           text[end - 1 - common] == text[text.size() - 1 - common]) {
      ++common;
    }
    if (common <= longest) continue;
    best = end;
    longest = common;
  }
  return best;
}

}  // namespace

Speculation::Speculation(const DraftOptions& options)
    : options_(options), length_(std::min<int64_t>(options.max, 2)) {
  if (options_.ngram > 0) draft_.reserve(static_cast<size_t>(options_.max));
}

void Speculation::Draft(absl::Span<const int32_t> text, int64_t most) {
  draft_.clear();
  most = std::min(most, length_);
  if (options_.ngram == 0 || most <= 0 || text.empty()) return;
  // One token that is the same says little where more may be compared.
  const auto longest = static_cast<size_t>(options_.ngram);
  const size_t end = FindEnd(text, std::min<size_t>(longest, 2), longest);
  if (end == 0) return;
  // Beyond the text's end, what was guessed is gone on with as if it were text.
  for (size_t i = end; static_cast<int64_t>(draft_.size()) < most; ++i) {
    draft_.push_back(i < text.size() ? text[i] : draft_[i - text.size()]);
  }
}

absl::StatusOr<bool> Speculation::Take(const LogitRows& rows, int64_t room, Answer& answer,
                                       std::vector<int32_t>* text) {
  const size_t width = rows.values.size() / (draft_.size() + 1);
  const auto drafted = static_cast<int64_t>(draft_.size());
  drafted_ += drafted;
  for (held_ = 0;; ++held_, ++accepted_) {
    SLUICE_ASSIGN_OR_RETURN(const std::optional<int32_t> token,
                            answer.Next(rows.Part(held_ * width, width), room > held()));
    if (!token.has_value()) return false;
    text->push_back(*token);
    if (held_ == draft_.size() || *token != draft_[held_]) break;
  }
  if (drafted > 0) {
    length_ =
        held() < drafted ? held() + 1 : std::max(length_, std::min(2 * drafted, options_.max));
  }
  return true;
}

}  // namespace sluice
