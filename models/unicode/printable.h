// Text from strangers, for messages.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice {

// Makes a name or value from a file fit for a terminal: control characters, those that end
// lines or change the direction of text, and invalid UTF-8 become \xNN, and anything over `limit`
// bytes is cut, between characters, with "...".
std::string Printable(absl::string_view text, size_t limit = 80);

// The same for a whole text, which keeps its lines and tabs.
std::string PrintableText(absl::string_view text);

}  // namespace sluice
