// WordPiece (tokenizer.ggml.model = bert).
//
// J. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
// Understanding", 2019, section 3. In model files, a token that begins a word has U+2581 in front;
// the "##" of the others is gone.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "models/text/text_codec.h"
#include "models/text/vocabulary.h"

namespace sluice {

// What becomes of characters before words are looked up (tokenizer.ggml.normalizer.*).
struct WordPieceOptions {
  bool lower_case = true;
  bool strip_accents = true;  // a letter with accents becomes its base
};

// The words of `text`: they lie between white space, and a punctuation mark or a Chinese character
// is one by itself. Control characters and what is no UTF-8 are left out.
std::vector<std::string> SplitWords(absl::string_view text, const WordPieceOptions& options);

class WordPieceCodec : public TextCodec {
 public:
  // Keeps a reference to `vocabulary`.
  WordPieceCodec(const Vocabulary& vocabulary, const WordPieceOptions& options);

  // Of each word, the longest token that it begins with, then the longest for what is left, ...; a
  // word that cannot be built this way is one unknown token.
  void Encode(absl::string_view text, bool after_special, std::vector<TokenId>* ids) const override;
  std::string Decode(absl::string_view text) const override;

 private:
  void EncodeWord(absl::string_view word, std::vector<TokenId>* ids) const;

  const Vocabulary& vocabulary_;
  WordPieceOptions options_;
  size_t longest_ = 0;  // bytes of the longest token that is looked up
};

}  // namespace sluice
