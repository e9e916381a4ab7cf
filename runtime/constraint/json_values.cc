#include "runtime/constraint/json_values.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

template <typename... Parts>
absl::Status Wrong(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

// %24 and the like, as in every part of a URI.
absl::StatusOr<std::string> PercentDecoded(absl::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const absl::string_view digits = text.substr(i + 1, 2);
    if (digits.size() < 2 || !absl::ascii_isxdigit(digits[0]) || !absl::ascii_isxdigit(digits[1])) {
      return Wrong("'%' is not followed by two hexadecimal digits");
    }
    decoded += absl::HexStringToBytes(digits);
    i += 2;
  }
  return decoded;
}

absl::StatusOr<std::string> Unescaped(absl::string_view step) {
  for (size_t i = step.find('~'); i != absl::string_view::npos; i = step.find('~', i + 1)) {
    const absl::string_view escape = step.substr(i, 2);
    if (escape != "~0" && escape != "~1") {
      return Wrong("'~' stands for itself as ~0, and / as ~1, in '", step, "'");
    }
  }
  return absl::StrReplaceAll(step, {{"~1", "/"}, {"~0", "~"}});
}

absl::StatusOr<const Json*> Step(const Json& value, const std::string& step) {
  if (value.is_object()) {
    if (const auto it = value.find(step); it != value.end()) return &*it;
  } else if (value.is_array()) {
    size_t index = 0;
    const bool is_index = !step.empty() && absl::ascii_isdigit(step[0]) &&
                          (step[0] != '0' || step.size() == 1) && absl::SimpleAtoi(step, &index);
    if (is_index && index < value.size()) return &value[index];
    return Wrong("there is no '", step, "' in an array of ", value.size(), " values");
  }
  return Wrong("there is no '", step, "'");
}

bool IsOtherDocument(const Json& value) {
  return value.is_object() && value.contains("$id") && value["$id"].is_string();
}

}  // namespace

std::optional<int64_t> WholeNumber(double number) {
  if (std::abs(number) > 0x1p53 || number != std::floor(number)) return std::nullopt;
  return static_cast<int64_t>(number);
}

std::string PointerTo(absl::string_view path, absl::string_view step) {
  return absl::StrCat(path, "/", absl::StrReplaceAll(step, {{"~", "~0"}, {"/", "~1"}}));
}

absl::StatusOr<PointedTo> FollowPointer(const Json& root, absl::string_view fragment) {
  SLUICE_ASSIGN_OR_RETURN(const std::string pointer, PercentDecoded(fragment));
  const std::vector<std::string> steps = absl::StrSplit(pointer, '/');
  if (steps[0] != "#") {
    return Wrong("expected a JSON pointer to a place within this schema, # or #/$defs/...");
  }
  PointedTo place = {&root, "#"};
  for (size_t i = 1; i < steps.size(); ++i) {
    if (i > 1 && IsOtherDocument(*place.value)) {
      return Wrong("'$id' in ", place.path, " makes a document of its own, which is not supported");
    }
    SLUICE_ASSIGN_OR_RETURN(const std::string step, Unescaped(steps[i]));
    SLUICE_ASSIGN_OR_RETURN(place.value, Step(*place.value, step));
    place.path = PointerTo(place.path, step);
  }
  return place;
}

}  // namespace sluice
