// Text to token ids and back, for the vocabularies inside model files.
//
// Ids are those that llama.cpp gives. Tokenizer is immutable after loading and safe to share
// between threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "models/gguf.h"
#include "models/token.h"

namespace sluice {

class SpecialTokens;
class TextCodec;
class Vocabulary;

struct TokenizeOptions {
  bool add_special = true;     // begin/end tokens, where the vocabulary asks for them
  bool parse_special = false;  // match control tokens in the text ("<|im_end|>")
};

struct DecodeOptions {
  bool special = false;    // print control and unknown tokens
  bool continues = false;  // the ids go on after others (an answer after its prompt): a space in
                           // front belongs to the text
};

class Tokenizer {
 public:
  // Reads tokenizer.ggml.*. The file must outlive the tokenizer. Errors name the file and the key:
  // NotFound if it has no vocabulary, Unimplemented for an unknown kind, InvalidArgument for
  // damage. `warnings` receives one line per oddity that was worked around.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const GgufFile& file,
                                                         std::vector<std::string>* warnings);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Any bytes are accepted. Where they are not UTF-8, a byte-level vocabulary sees U+FFFD and a
  // SentencePiece one the bytes.
  std::vector<TokenId> Encode(absl::string_view text, const TokenizeOptions& options = {}) const;

  // The bytes of one token; control and unknown tokens are empty unless `special`, ids out of
  // range and unused tokens always.
  std::string Piece(TokenId id, bool special) const;
  // Text of a whole sequence: joins the pieces and, unless it continues, undoes the leading space
  // that a SentencePiece vocabulary adds in Encode.
  std::string Decode(absl::Span<const TokenId> ids, const DecodeOptions& options = {}) const;
  // What llama.cpp's llama_detokenize returns. It differs from Decode in two ways: a first token
  // without a piece, such as bos, keeps the space of the next; and for some vocabularies spaces are
  // dropped in front of ?!., and of 's, 'm, 're, 've, and around a lone apostrophe. That loses
  // spaces of the original, so generation does not use it.
  std::string Detokenize(absl::Span<const TokenId> ids, const DecodeOptions& options = {}) const;

  int64_t size() const;  // tokens in the vocabulary
  // The token with this text, as stored in the file; kNoToken if there is none.
  TokenId Find(absl::string_view text) const;
  absl::string_view Text(TokenId id) const;  // as stored in the file; "" if out of range
  TokenType Type(TokenId id) const;          // kUndefined if out of range
  TokenId bos() const;                       // kNoToken where the file has none
  TokenId eos() const;
  // True for eos, eot, eom and the tokens that models end an answer with (<|im_end|>, ...).
  bool IsEndOfGeneration(TokenId id) const;
  bool adds_bos() const { return adds_bos_; }
  bool adds_eos() const { return adds_eos_; }
  bool adds_space() const { return adds_space_; }  // in front of text

 private:
  Tokenizer();

  std::unique_ptr<const Vocabulary> vocabulary_;
  std::unique_ptr<const SpecialTokens> special_;
  std::unique_ptr<const TextCodec> codec_;
  bool adds_bos_ = false;
  bool adds_eos_ = false;
  bool adds_space_ = false;
  bool tidies_spaces_ = false;
};

// Turns a stream of tokens into text without ever splitting a UTF-8 character: bytes of an
// unfinished character are held back until the rest arrives or can no longer arrive. The pieces
// joined are what Decode gives for all ids at once.
class StreamingDecoder {
 public:
  explicit StreamingDecoder(const Tokenizer& tokenizer, const DecodeOptions& options = {});
  std::string Push(TokenId id);  // text that is complete now; may be empty
  std::string Finish();          // what is left, as it is

 private:
  const Tokenizer& tokenizer_;
  bool special_;
  bool strip_space_;     // of the next piece that is not empty
  std::string pending_;  // an unfinished character
};

}  // namespace sluice
