// SentencePiece with byte fallback (tokenizer.ggml.model = llama).
//
// Neighbouring characters are joined to the token with the best score; a character without a token
// becomes its bytes, <0x00> to <0xFF>. A space is U+2581 in tokens, and text gets one in front.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "models/text/symbol_merge.h"
#include "models/text/text_codec.h"
#include "models/text/vocabulary.h"

namespace sluice {

class SpmCodec : public TextCodec {
 public:
  // `add_space`: text at the start and after special tokens gets a space in front. Keeps a
  // reference to `vocabulary`.
  SpmCodec(const Vocabulary& vocabulary, bool add_space);

  // Any bytes. A byte without a token becomes the unknown token, or nothing where there is none.
  void Encode(absl::string_view text, bool after_special, std::vector<TokenId>* ids) const override;
  std::string Decode(absl::string_view text) const override;

 private:
  const Vocabulary& vocabulary_;
  bool add_space_;
  std::array<TokenId, 256> byte_ids_;
  size_t longest_ = 0;  // bytes of the longest token
};

}  // namespace sluice
