// Text to token ids and back, for the vocabularies inside model files.
//
// Tokenizer is immutable after loading and safe to share between threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/gguf.h"

namespace sluice {

using TokenId = int32_t;
inline constexpr TokenId kNoToken = -1;

// tokenizer.ggml.token_type, in the file's own numbering.
enum class TokenType : int32_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

struct TokenizeOptions {
  bool add_special = true;     // begin/end tokens, where the vocabulary asks for them
  bool parse_special = false;  // match control tokens in the text ("<|im_end|>")
};

class Tokenizer {
 public:
  // Reads tokenizer.ggml.*. The file must outlive the tokenizer. Errors name the key.
  // `warnings` receives one line per oddity that was worked around.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const GgufFile& file,
                                                         std::vector<std::string>* warnings);
  virtual ~Tokenizer() = default;

  // Any bytes are accepted; invalid UTF-8 is handled as llama.cpp does.
  std::vector<TokenId> Encode(absl::string_view text, const TokenizeOptions& options = {}) const;

  // The bytes of one token; control tokens are empty unless `special`. Out of range ids are empty.
  std::string Piece(TokenId id, bool special) const;
  // Text of a whole sequence: joins the pieces, and undoes the leading space that a
  // SentencePiece vocabulary adds in Encode.
  std::string Decode(absl::Span<const TokenId> ids, bool special) const;

  int64_t size() const;  // tokens in the vocabulary
  absl::string_view Text(TokenId id) const;  // as stored in the file
  TokenType Type(TokenId id) const;
  TokenId bos() const;  // kNoToken where the file has none
  TokenId eos() const;
  // True for eos, eot, eom and the tokens that models end an answer with (<|im_end|>, ...).
  bool IsEndOfGeneration(TokenId id) const;
  bool adds_bos() const;
};

// Turns a stream of tokens into text without ever splitting a UTF-8 character: bytes of an
// unfinished character are held back until the rest arrives.
class StreamingDecoder {
 public:
  explicit StreamingDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  std::string Push(TokenId id);  // text that is complete now; may be empty
  std::string Finish();          // what is left, as it is

 private:
  const Tokenizer& tokenizer_;
  std::string pending_;
};

}  // namespace sluice
