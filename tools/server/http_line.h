// Lines as HTTP has them (RFC 9112, 2.2), from bytes that come in any pieces. Pure, and fuzzed.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "tools/server/http_refusal.h"

namespace sluice::server {

// Ends with CRLF and has neither half of it elsewhere, nor any other control character but tabs.
// Other programs take a line feed alone for an end, too: what two programs in a row read
// differently is how requests are smuggled, so it is refused here.
class HttpLine {
 public:
  enum class State { kOpen, kWhole, kMalformed, kTooLong };

  explicit HttpLine(size_t most_bytes) : most_bytes_(most_bytes) {}

  // Takes bytes from the front of `bytes` up to the end of the line.
  State Take(absl::string_view* bytes);
  const std::string& text() const { return text_; }
  bool is_empty() const { return text_.empty() && !has_return_; }
  // Begins the next line.
  void Clear();

 private:
  size_t most_bytes_;
  std::string text_;
  bool has_return_ = false;  // its last byte was CR
};

// Of a line that is malformed: 400.
Refusal MalformedLine(absl::string_view where);

// RFC 9110, 5.6.2.
bool IsToken(absl::string_view text);
// Without blanks (and tabs) at both ends.
absl::string_view WithoutBlanks(absl::string_view text);

}  // namespace sluice::server
