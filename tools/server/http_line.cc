#include "tools/server/http_line.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace sluice::server {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

bool IsTokenChar(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         (c != '\0' && absl::string_view("!#$%&'*+-.^_`|~").find(c) != absl::string_view::npos);
}

}  // namespace

HttpLine::State HttpLine::Take(absl::string_view* bytes) {
  while (!bytes->empty()) {
    const char c = bytes->front();
    if (has_return_ && c != '\n') return State::kMalformed;
    if (!has_return_ && c != '\r' && c != '\t' &&
        absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      return State::kMalformed;
    }
    bytes->remove_prefix(1);
    if (has_return_) return State::kWhole;
    if (c == '\r') {
      has_return_ = true;
    } else if (text_.size() >= most_bytes_) {
      return State::kTooLong;
    } else {
      text_.push_back(c);
    }
  }
  return State::kOpen;
}

void HttpLine::Clear() {
  text_.clear();
  has_return_ = false;
}

Refusal MalformedLine(absl::string_view where) {
  return {400, absl::StrCat(where,
                            " has a control character, or a line that does not end with "
                            "CRLF")};
}

bool IsToken(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenChar);
}

absl::string_view WithoutBlanks(absl::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace sluice::server
