// The parts of the HTML page, carried inside the program.
#pragma once

#include <vector>

#include "absl/strings/string_view.h"

namespace sluice {

absl::string_view PageSkeleton();  // with {{style}}, {{data}} and {{scripts}} to be filled in
absl::string_view PageStyle();
std::vector<absl::string_view> PageScripts();  // in the order in which they must run

}  // namespace sluice
