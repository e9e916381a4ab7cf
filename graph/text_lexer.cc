#include "graph/text_lexer.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

bool IsWordChar(char c) { return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-'; }

// Length of the word at the start of `text`. One that begins as a number may have a '+' after an
// 'e': 1e+20.
size_t WordLength(absl::string_view text) {
  const bool is_number = !absl::ascii_isalpha(text[0]) && text[0] != '_';
  size_t length = 1;
  while (length < text.size()) {
    const bool is_exponent_sign = is_number && text[length] == '+' && text[length - 1] == 'e';
    if (!IsWordChar(text[length]) && !is_exponent_sign) break;
    ++length;
  }
  return length;
}

// Length of the string at the start of `text`, quotes included; npos if its line has no end of it.
size_t StringLength(absl::string_view text) {
  bool is_escaped = false;
  for (size_t i = 1; i < text.size() && text[i] != '\n'; ++i) {
    if (text[i] == '"' && !is_escaped) return i + 1;
    is_escaped = text[i] == '\\' && !is_escaped;
  }
  return absl::string_view::npos;
}

}  // namespace

std::string Describe(const Token& token) {
  constexpr size_t kMaxShown = 60;
  if (token.kind == TokenKind::kEnd) return "the end of the text";
  if (token.kind == TokenKind::kNewline) return "the end of the line";
  if (token.kind == TokenKind::kInvalid && token.text[0] == '"') {
    return "a string without a closing quote";
  }
  return absl::StrCat("'", absl::CHexEscape(token.text.substr(0, kMaxShown)),
                      token.text.size() > kMaxShown ? "..." : "", "'");
}

void Lexer::SkipBlanks() {
  while (position_ < text_.size()) {
    const char c = text_[position_];
    if (text_.substr(position_, 2) == "//") {
      position_ = std::min(text_.find('\n', position_), text_.size());
    } else if (c == '\n' && !in_line_) {
      line_start_ = ++position_;
      ++line_;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      ++position_;
    } else {
      return;
    }
  }
}

TokenKind Lexer::Measure(size_t* length) const {
  const absl::string_view rest = text_.substr(position_);
  const char c = rest[0];
  *length = 1;
  if (IsWordChar(c)) {
    *length = WordLength(rest);
    return TokenKind::kWord;
  }
  if ((c == '%' || c == '@') && rest.size() > 1 && IsWordChar(rest[1])) {
    while (*length < rest.size() && IsWordChar(rest[*length])) ++*length;
    return TokenKind::kRef;
  }
  if (c == '"') {
    *length = StringLength(rest);
    return *length != rest.npos ? TokenKind::kString : TokenKind::kInvalid;
  }
  if (rest.substr(0, 2) == "<=") *length = 2;
  const bool is_mark = absl::string_view("=(){}[],:*<>+").find(c) != absl::string_view::npos;
  return is_mark ? TokenKind::kMark : TokenKind::kInvalid;
}

Token Lexer::Next() {
  SkipBlanks();
  Token token;
  token.line = line_;
  token.column = static_cast<int64_t>(position_ - line_start_) + 1;
  const bool at_line_end = position_ == text_.size() || text_[position_] == '\n';
  if (at_line_end) {
    token.kind = in_line_ ? TokenKind::kNewline : TokenKind::kEnd;
    in_line_ = false;
    return token;
  }
  size_t length = 0;
  token.kind = Measure(&length);
  token.text = text_.substr(position_, length);
  position_ += token.text.size();
  in_line_ = true;
  return token;
}

}  // namespace sluice
