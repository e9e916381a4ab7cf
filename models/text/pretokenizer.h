// Cuts text into the words that byte-pair encoding works on (tokenizer.ggml.pre).
//
// Each kind is a list of regular expressions, those of the models' own tokenizer.json files in the
// form that llama.cpp gives them. They are applied in turn: each cuts every piece that the ones
// before it left into its matches and what lies between them.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

struct PreTokenizerKind {
  absl::string_view name;  // tokenizer.ggml.pre
  absl::Span<const absl::string_view> patterns;
  // Of the vocabularies that use this kind:
  bool whole_words = false;   // a word that is a token is not built from merges
  bool adds_bos = false;      // unless tokenizer.ggml.add_bos_token says otherwise
  bool tidies_spaces = true;  // see Tokenizer::Detokenize
};

// What a vocabulary without tokenizer.ggml.pre, or with an unknown one, gets.
inline constexpr absl::string_view kDefaultPreTokenizer = "default";

absl::Span<const PreTokenizerKind> PreTokenizerKinds();
const PreTokenizerKind* FindPreTokenizerKind(absl::string_view name);  // nullptr if unknown

// For a name that llama.cpp knows, but whose rules are not there yet: the kind that comes nearest.
// nullptr for others.
const PreTokenizerKind* NearestPreTokenizerKind(absl::string_view name);
// The known name that is spelt most like one that is not known; "" if none is.
absl::string_view SimilarPreTokenizerName(absl::string_view name);

// Immutable and safe to share between threads.
class PreTokenizer {
 public:
  // Internal if an expression does not compile.
  static absl::StatusOr<PreTokenizer> Create(const PreTokenizerKind& kind);
  ~PreTokenizer();
  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;

  // Pieces of `text`, in order; joined they are the text. `text` is what NormalizeUtf8 returns.
  // A piece on which the matcher reaches its limits stays whole.
  std::vector<absl::string_view> Split(absl::string_view text) const;

 private:
  class Expression;
  explicit PreTokenizer(std::vector<Expression> expressions);
  std::vector<Expression> expressions_;
};

}  // namespace sluice
