// Text to token ids and back, for the vocabularies inside model files: byte-level BPE,
// SentencePiece and WordPiece.
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
#include "models/files/token.h"
#include "models/files/weight_source.h"

namespace sluice {

class SpecialTokens;
class TextCodec;
class Vocabulary;
struct TextRange;

// A part of a text that was put together from a format's own mark-up and from what others wrote.
struct TextPiece {
  std::string text;
  bool is_markup = false;
};

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
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const WeightSource& file,
                                                         std::vector<std::string>* warnings);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Any bytes are accepted. Where they are not UTF-8, a byte-level vocabulary sees U+FFFD, a
  // SentencePiece one the bytes and a WordPiece one nothing.
  std::vector<TokenId> Encode(absl::string_view text, const TokenizeOptions& options = {}) const;

  // What Encode gives for all pieces joined, with control tokens matched in the mark-up only: what
  // others wrote cannot pose as mark-up, neither by itself nor together with the mark-up around it.
  // Elsewhere a boundary between pieces makes no difference.
  std::vector<TokenId> EncodePieces(absl::Span<const TextPiece> pieces,
                                    bool add_special = true) const;

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
  // After text: eos, or WordPiece's separator.
  bool adds_end() const { return end_ != kNoToken; }
  bool adds_space() const { return adds_space_; }  // in front of text

 private:
  Tokenizer();
  // What differs between kinds of vocabulary. Leaves in adds_bos_ whether a text begins with bos
  // unless the file says otherwise.
  absl::Status LoadCodec(const WeightSource& file, std::vector<std::string>* warnings);
  // What is added to every text.
  absl::Status LoadAdded(const WeightSource& file, std::vector<std::string>* warnings);
  // Control tokens count within the ranges of `markup`.
  std::vector<TokenId> EncodeMarked(absl::string_view text, absl::Span<const TextRange> markup,
                                    bool add_special) const;

  std::unique_ptr<const Vocabulary> vocabulary_;
  std::unique_ptr<const SpecialTokens> special_;
  std::unique_ptr<const TextCodec> codec_;
  bool adds_bos_ = false;
  TokenId end_ = kNoToken;  // added to every text
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
