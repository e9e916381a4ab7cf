// Where a text is no JSON, or what a path in it names, for errors about files.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace sluice {

// "LINE:COLUMN: unexpected ... in JSON", "" if it is JSON.
std::string JsonSyntaxError(const std::string& content);

// "LINE:COLUMN" of the value at a path like nodes[3].op, or of as much of the path as there is; ""
// if there is nothing of it. `content` is JSON.
std::string JsonPlaceOf(const std::string& content, absl::string_view path);

}  // namespace sluice
