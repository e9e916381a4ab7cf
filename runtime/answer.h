// The tokens that continue one text, until something ends it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/constraint/token_filter.h"
#include "runtime/sampler.h"

namespace sluice {

enum class StopReason : uint8_t {
  kEndOfGeneration,  // the model said that it is done, or the filter that the text is whole
  kLength,           // max_tokens were generated
  kContext,          // the context is full
  kCallback,         // on_token returned false, or is_stopped true, or the request was cancelled
};
absl::string_view Describe(StopReason reason);

// What is guessed, see speculation.h. It changes how fast an answer comes, not what it is.
struct DraftOptions {
  int64_t ngram = 0;  // tokens by which a like place is looked for, at most; 0: no drafts
  int64_t max = 8;    // tokens guessed at once

  // InvalidArgument that names the option, its value and its range.
  absl::Status Check() const;
};

struct GenerateOptions {
  int64_t max_tokens = -1;  // -1: no limit but the context
  SamplerOptions sampling;
  DraftOptions draft;
  // Makes the filter of one answer; none: all tokens may come. It agrees with is_end about which
  // tokens end a text. An answer that it has no token for ends with its error; one that ends
  // because of max_tokens or the context may not be whole.
  std::function<std::unique_ptr<TokenFilter>()> new_filter;
  std::function<bool(int32_t)> is_end;    // true for tokens that end the text; none: no token does
  std::function<bool(int32_t)> on_token;  // every generated token but the end; false stops
  // Called in front of on_token with the logits that its token was drawn from, as the model gave
  // them. None: nobody looks.
  std::function<void(int32_t, absl::Span<const float>)> on_logits;
  std::function<bool()> is_stopped;  // asked before each step; none: nothing stops it

  // The form of rows that suffices to draw the tokens.
  RowForm row_form() const;
};

class Answer {
 public:
  // To a text whose tokens are `prompt`. `options` outlive the answer.
  Answer(const GenerateOptions& options, absl::Span<const int32_t> prompt);

  RowForm row_form() const { return options_.row_form(); }
  bool IsStopped() const { return options_.is_stopped && options_.is_stopped(); }

  // Draws the next token from a row, whole or of the form row_form(), and gives it to on_token.
  // Returns the token to run, or none if the answer has ended: reason() says why. `has_room`: the
  // context has room for that token. Errors: the sampler's and the filter's.
  absl::StatusOr<std::optional<int32_t>> Next(const LogitRows& row, bool has_room);

  StopReason reason() const { return reason_; }
  int64_t generated() const { return generated_; }  // tokens given to on_token
  int64_t left() const;                             // tokens until max_tokens

 private:
  std::optional<int32_t> End(StopReason reason);
  absl::StatusOr<int32_t> Sample(const LogitRows& row);

  const GenerateOptions& options_;
  Sampler sampler_;
  std::unique_ptr<TokenFilter> filter_;  // may be null
  int64_t generated_ = 0;
  StopReason reason_ = StopReason::kLength;
};

}  // namespace sluice
