#include "tools/server/json_fields.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "models/unicode/utf8.h"
#include "runtime/constraint/json_values.h"
#include "tools/server/api_error.h"

namespace sluice::server {
namespace {

// Requests need five levels; schemas of answers some more.
constexpr int64_t kMostDepth = 64;

// A value takes up to some 100 bytes once it is built, of as little as two in the body. A prompt
// given by the numbers of its tokens can have almost as many of them; text has no such limit.
constexpr int64_t kMostValues = int64_t{1} << 18;

// What can be told before anything is built: how deep brackets nest, and how many values there are.
struct Shape {
  int64_t depth = 0;
  int64_t values = 1;
};
Shape ShapeOf(absl::string_view text) {
  Shape shape;
  int64_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      shape.depth = std::max(shape.depth, ++depth);
      ++shape.values;
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c == ',') {
      ++shape.values;
    }
  }
  return shape;
}

// "[json.exception.parse_error.101] parse error at ..." without what is of no use to anyone.
absl::string_view WithoutNumber(absl::string_view what) {
  const size_t end = what.find("] ");
  return end == absl::string_view::npos ? what : what.substr(end + 2);
}

}  // namespace

absl::StatusOr<Json> ParseObject(absl::string_view text) {
  const Shape shape = ShapeOf(text);
  if (shape.depth > kMostDepth) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the body nests ", shape.depth, " levels deep, expected ", kMostDepth, " at most"));
  }
  if (shape.values > kMostValues) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body has ", shape.values, " values, expected ", kMostValues, " at most"));
  }
  try {
    Json json = Json::parse(text.begin(), text.end());
    if (json.is_object()) return json;
    return absl::InvalidArgumentError(
        absl::StrCat("the body is ", Shown(json), ", expected a JSON object"));
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body is no JSON: ", WithoutNumber(error.what())));
  }
}

std::string Shown(const Json& value) {
  constexpr size_t kMost = 40;
  if (value.is_array() && value.size() > 8) {
    return absl::StrCat("an array of ", value.size(), " values");
  }
  if (value.is_object()) return "an object";
  if (value.is_string() && value.get_ref<const std::string&>().size() > kMost) {
    const std::string start = value.get_ref<const std::string&>().substr(0, kMost);
    return absl::StrCat("\"", start.substr(0, start.size() - UnfinishedUtf8(start)), "...\"");
  }
  const std::string text = value.dump();
  if (text.size() <= kMost) return text;
  return absl::StrCat("an array of ", value.size(), " values");
}

std::optional<int64_t> IntegerOf(const Json& value) {
  if (value.is_number_float()) return WholeNumber(value.get<double>());
  if (!value.is_number_integer()) return std::nullopt;
  // Read as int64_t, numbers above its range would be negative ones.
  const bool fits =
      !value.is_number_unsigned() || value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX);
  return fits ? std::optional(value.get<int64_t>()) : std::nullopt;
}

const Json* Fields::Find(absl::string_view name) const {
  const auto it = object_.find(std::string(name));
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

absl::string_view Fields::Which(std::initializer_list<absl::string_view> names) const {
  const auto* const it = std::find_if(
      names.begin(), names.end(), [this](absl::string_view name) { return Find(name) != nullptr; });
  return it == names.end() ? *names.begin() : *it;
}

std::string Fields::PathOf(absl::string_view name) const { return absl::StrCat(path_, name); }

absl::Status Fields::Error(absl::string_view name, const Json& value,
                           absl::string_view expected) const {
  const std::string path = PathOf(name);
  return FieldError(path, absl::StrCat(path, " is ", Shown(value), ", expected ", expected));
}

absl::Status Fields::Read(absl::string_view name, double* out) const {
  const Json* const value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_number()) return Error(name, *value, "a number");
  *out = value->get<double>();
  return absl::OkStatus();
}

absl::Status Fields::Read(absl::string_view name, bool* out) const {
  const Json* const value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_boolean()) return Error(name, *value, "true or false");
  *out = value->get<bool>();
  return absl::OkStatus();
}

absl::Status Fields::Read(absl::string_view name, std::string* out) const {
  const Json* const value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_string()) return Error(name, *value, "a string");
  *out = value->get<std::string>();
  return absl::OkStatus();
}

absl::Status Fields::Read(absl::string_view name, int64_t least, int64_t most, int64_t* out) const {
  const Json* const value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  const std::string expected = absl::StrCat("an integer from ", least, " to ", most);
  const std::optional<int64_t> number = IntegerOf(*value);
  if (!number.has_value() || *number < least || *number > most) {
    return Error(name, *value, expected);
  }
  *out = *number;
  return absl::OkStatus();
}

}  // namespace sluice::server
