// What a file is, for errors about one that is something else than was expected.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice {

// As many bytes tell all kinds apart.
inline constexpr size_t kTellingBytes = 512;

// Known by its first bytes: the predicate of a sentence about the file, with what to do with it, as
// in "is a graph in text form: `sluice opt`, `diff`, `verify` and `reduce` take it".
std::string DescribeFile(absl::string_view first_bytes);

}  // namespace sluice
