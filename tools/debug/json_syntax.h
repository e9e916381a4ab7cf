// Where a text is no JSON, for errors about files.
#pragma once

#include <string>

namespace sluice {

// "LINE:COLUMN: unexpected ... in JSON", "" if it is JSON.
std::string JsonSyntaxError(const std::string& content);

}  // namespace sluice
