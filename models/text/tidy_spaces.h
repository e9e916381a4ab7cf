// Undoes spaces that tokenized English text has around punctuation.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace sluice {

// Drops the space in front of ? ! . and ,; then those around an apostrophe that stands alone; then
// the one in front of 's, 'm, 're and 've. Byte for byte what llama.cpp makes of the text.
std::string TidySpaces(absl::string_view text);

}  // namespace sluice
