// Tokens of graph text. See graph/text.h for the grammar.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice {

enum class TokenKind : uint8_t {
  kWord,     // silu, f32, 512, -1e-06, 0x40, _
  kRef,      // %l0.q, @blk.0.attn_q
  kString,   // "in quotes", escapes not yet undone
  kMark,     // = ( ) { } [ ] , : * < > + <=
  kNewline,  // after every line that has tokens, also the last one
  kEnd,
  kInvalid,  // a byte that begins no token, or a string without an end
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  absl::string_view text;  // points into the source
  int64_t line = 1;        // from 1
  int64_t column = 1;      // from 1, in bytes
};

// The token in an error message: "'silu'", "the end of the line".
std::string Describe(const Token& token);

class Lexer {
 public:
  // `text` outlives the lexer and its tokens.
  explicit Lexer(absl::string_view text) : text_(text) {}

  // The next token; after the last one, kEnd for ever. Comments, blanks and empty lines are
  // skipped.
  Token Next();

 private:
  void SkipBlanks();
  // Kind and length of the token at the current position, which is not at the end.
  TokenKind Measure(size_t* length) const;

  absl::string_view text_;
  size_t position_ = 0;
  size_t line_start_ = 0;
  int64_t line_ = 1;
  bool in_line_ = false;  // the current line has tokens
};

}  // namespace sluice
