// Places in JSON values, and numbers that are whole however they are written.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

// The integer that a number is, such as 3 for 3.0: as far as every double in between is one.
std::optional<int64_t> WholeNumber(double number);

// `path` and one step further, as a JSON pointer (RFC 6901).
std::string PointerTo(absl::string_view path, absl::string_view step);

struct PointedTo {
  const nlohmann::ordered_json* value;
  std::string path;  // the same however the pointer was written, "#/a/0"
};
// What a JSON pointer in the form of a URI fragment ("#", "#/a~1b/0", "#/%24defs/a") leads to in
// `root`, a schema. InvalidArgument says which step leads nowhere, or into what an `$id` makes a
// document of its own, in which pointers would have another root.
absl::StatusOr<PointedTo> FollowPointer(const nlohmann::ordered_json& root,
                                        absl::string_view fragment);

}  // namespace sluice
