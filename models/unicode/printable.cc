#include "models/unicode/printable.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "models/unicode/utf8.h"

namespace sluice {
namespace {

// Ends a line, or turns what follows around: a line of a log would not say what it seems to.
bool IsDisguise(uint32_t value) {
  return value == 0x200E || value == 0x200F || value == 0x061C ||
         (value >= 0x2028 && value <= 0x202E) || (value >= 0x2066 && value <= 0x2069);
}

// Well-formed (Unicode 15, table 3-7) and nothing that a terminal acts on: C0, DEL, C1.
bool IsPrintable(const CodePoint& code, absl::string_view encoded) {
  std::string shortest;
  AppendUtf8(code.value, &shortest);
  const bool surrogate = code.value >= 0xD800 && code.value <= 0xDFFF;
  const bool control = code.value < 0x20 || (code.value >= 0x7F && code.value <= 0x9F);
  return shortest == encoded && !surrogate && !control && !IsDisguise(code.value);
}

}  // namespace

std::string Printable(absl::string_view text, size_t limit) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const CodePoint code = DecodeUtf8(text.substr(at));
    const absl::string_view encoded = text.substr(at, code.bytes);
    at += code.bytes;
    if (at > limit) return result + "...";
    if (IsPrintable(code, encoded)) {
      absl::StrAppend(&result, encoded);
    } else {
      for (const char c : encoded) {
        absl::StrAppendFormat(&result, "\\x%02X", static_cast<unsigned char>(c));
      }
    }
  }
  return result;
}

}  // namespace sluice
