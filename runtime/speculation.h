// Several tokens of one text in a step: guesses at what comes next are run together with the token
// that is known, and hold as long as the sampler draws the same.
//
// A guess is what came after the last place in the text that reads like its end (prompt lookup). It
// decides nothing but speed: each token is drawn from logits after the same text, with the same
// random numbers, as it would be without.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/answer.h"

namespace sluice {

class Speculation {
 public:
  explicit Speculation(const DraftOptions& options);

  // Guesses what comes after `text`: at most `most` tokens and as many as the options say, but
  // fewer where guesses were wrong lately. They are to be run after its last token, each for its
  // logits.
  void Draft(absl::Span<const int32_t> text, int64_t most);
  absl::Span<const int32_t> draft() const { return draft_; }

  // Draws tokens from `rows`, the logits of the last token of `text` and of each of the draft.
  // Appends to `text` those that are to be run, of which the first held() have been. False if the
  // answer has ended. `room`: positions that the context has left after `text`. Errors: Answer's;
  // held() is right then, too.
  absl::StatusOr<bool> Take(const LogitRows& rows, int64_t room, Answer& answer,
                            std::vector<int32_t>* text);
  int64_t held() const { return static_cast<int64_t>(held_); }

  // In all.
  int64_t drafted() const { return drafted_; }
  int64_t accepted() const { return accepted_; }

 private:
  DraftOptions options_;
  int64_t length_;  // to draft next, at most
  std::vector<int32_t> draft_;
  size_t held_ = 0;
  int64_t drafted_ = 0;
  int64_t accepted_ = 0;
};

}  // namespace sluice
