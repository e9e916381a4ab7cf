// Reading JSON that strangers sent: every error names the field, what it is and what was expected.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice::server {

using Json = nlohmann::json;

// An object of bounded depth with a bounded number of values. Errors: what is no JSON (lone
// surrogates and numbers beyond a double among it), no object, nested too deep, or of too many
// values.
absl::StatusOr<Json> ParseObject(absl::string_view text);

// "\"hot\"", "[1,2,3...": what a value is, short enough for an error message.
std::string Shown(const Json& value);

// The integer that a value is, however it is written: 128.0, too. None: it is none, or one beyond
// int64_t.
std::optional<int64_t> IntegerOf(const Json& value);

// The fields of an object. A field that is absent or null leaves `out` as it is. The functions that
// take a name may be called with the fields of `object` in any order; what is not asked for does
// not count.
class Fields {
 public:
  // `path` is what stands in front of names in errors: "messages[1]." The object outlives this.
  explicit Fields(const Json& object, std::string path = "")
      : object_(object), path_(std::move(path)) {}

  // The value, nullptr if it is absent or null.
  const Json* Find(absl::string_view name) const;
  // Of several names for one thing the first that is there, the first of all if none is.
  absl::string_view Which(std::initializer_list<absl::string_view> names) const;

  absl::Status Read(absl::string_view name, double* out) const;  // finite
  absl::Status Read(absl::string_view name, bool* out) const;
  absl::Status Read(absl::string_view name, std::string* out) const;
  absl::Status Read(absl::string_view name, int64_t least, int64_t most, int64_t* out) const;

  // "`path`name is SHOWN, expected EXPECTED".
  absl::Status Error(absl::string_view name, const Json& value, absl::string_view expected) const;
  std::string PathOf(absl::string_view name) const;

 private:
  const Json& object_;
  std::string path_;
};

}  // namespace sluice::server
