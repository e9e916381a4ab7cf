// Finds the tokens that are matched in the text itself, before anything else: control and
// user-defined tokens such as "<|im_end|>".
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "models/files/token.h"
#include "models/text/vocabulary.h"

namespace sluice {

// A stretch of text between special tokens, or (where id is set) a special token.
struct Fragment {
  absl::string_view text;
  TokenId id = kNoToken;
};

// Bytes [begin, end) of a text.
struct TextRange {
  size_t begin;
  size_t end;
};

class SpecialTokens {
 public:
  // `swallow_space`: tokens take the white space after them along, which the phi-3 vocabularies
  // rely on; <s>, <unk> and <|endoftext|> do not.
  SpecialTokens(const Vocabulary& vocabulary, bool swallow_space);

  // The longest special tokens are found first, each from left to right, wherever no longer one is
  // in the way (so it is not the longest at the leftmost place that wins). User-defined tokens
  // always count, control and unknown tokens only where they lie within one of the ranges of
  // `markup`, which rise and neither overlap nor touch.
  std::vector<Fragment> Split(absl::string_view text, absl::Span<const TextRange> markup) const;

 private:
  struct Token {
    absl::string_view text;
    TokenId id;
    bool control;
    bool swallows_space;
  };

  // Indices into tokens_ of those whose text occurs, longest text first.
  std::vector<size_t> FindOccurring(absl::string_view text, bool parse_control) const;
  // Marks the tokens that the text begins with.
  void MarkPrefixes(absl::string_view text, std::vector<bool>* occurs) const;
  // Takes every occurrence of `token` for which `counts(its view of the text)` out of fragments.
  static std::vector<Fragment> SplitAt(const Token& token, const std::vector<Fragment>& fragments,
                                       absl::FunctionRef<bool(absl::string_view)> counts);

  std::vector<Token> tokens_;            // sorted by text
  std::array<size_t, 257> starts_ = {};  // [b], [b + 1]: the range of texts that begin with byte b
};

}  // namespace sluice
