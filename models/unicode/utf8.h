// UTF-8 as the tokenizers need it: text may hold any bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice {

// Bytes that a character starting with `lead` claims to have; 1 for bytes that cannot start one.
size_t Utf8Length(char lead);

struct CodePoint {
  uint32_t value;
  size_t bytes;  // consumed, at least 1
};
// The code point at the start of `text`, which is not empty. Lenient as llama.cpp is: overlong
// forms and surrogates are accepted; any other byte that is no part of a character, and the bytes
// of anything above U+10FFFF, are one U+FFFD each.
CodePoint DecodeUtf8(absl::string_view text);

// `value` is at most U+10FFFF. Surrogates are encoded like other code points.
void AppendUtf8(uint32_t value, std::string* out);

// Every code point of `text` (as DecodeUtf8 sees it) in its shortest form. Valid UTF-8 is
// unchanged; the result is valid but for surrogates.
std::string NormalizeUtf8(absl::string_view text);

// Bytes at the end of `text` that begin a well-formed character (Unicode 15, table 3-7) which is
// not finished: 0 to 3.
size_t UnfinishedUtf8(absl::string_view text);

}  // namespace sluice
