// The part of a tokenizer that differs between kinds of vocabulary.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "models/files/token.h"

namespace sluice {

class TextCodec {
 public:
  virtual ~TextCodec() = default;

  // Appends the ids of text without special tokens, any bytes. `after_special`: it follows a
  // special token or nothing.
  virtual void Encode(absl::string_view text, bool after_special,
                      std::vector<TokenId>* ids) const = 0;
  // The bytes that a normal token stands for. `text` is the token's own.
  virtual std::string Decode(absl::string_view text) const = 0;
};

}  // namespace sluice
