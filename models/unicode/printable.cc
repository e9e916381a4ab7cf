#include "models/unicode/printable.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "models/unicode/utf8.h"

namespace sluice {
namespace {

// What a terminal acts on: C0, DEL, C1; and what ends a line or turns the direction of writing, so
// that a text or a line of a log reads as another one than it is (Unicode's TR 36, section 2.10.3).
bool IsControl(uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code <= 0x9F) || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2066 && code <= 0x2069);
}

// Not that, and well-formed (Unicode 15, table 3-7).
bool IsPrintable(const CodePoint& code, absl::string_view encoded) {
  std::string shortest;
  AppendUtf8(code.value, &shortest);
  const bool surrogate = code.value >= 0xD800 && code.value <= 0xDFFF;
  return shortest == encoded && !surrogate && !IsControl(code.value);
}

void AppendPrintable(const CodePoint& code, absl::string_view encoded, std::string* out) {
  if (IsPrintable(code, encoded)) {
    absl::StrAppend(out, encoded);
    return;
  }
  for (const char c : encoded) absl::StrAppendFormat(out, "\\x%02X", static_cast<unsigned char>(c));
}

}  // namespace

std::string Printable(absl::string_view text, size_t limit) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const CodePoint code = DecodeUtf8(text.substr(at));
    if (at + code.bytes > limit) return result + "...";
    AppendPrintable(code, text.substr(at, code.bytes), &result);
    at += code.bytes;
  }
  return result;
}

std::string PrintableText(absl::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '\n' || text[at] == '\t') {
      result += text[at++];
      continue;
    }
    const CodePoint code = DecodeUtf8(text.substr(at));
    AppendPrintable(code, text.substr(at, code.bytes), &result);
    at += code.bytes;
  }
  return result;
}

}  // namespace sluice
