#include "tools/server/http_checks.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace sluice::server {
namespace {

constexpr absl::string_view kBearer = "Bearer ", kBasic = "Basic ";

// Takes the same time wherever the two differ.
bool IsSame(absl::string_view key, absl::string_view given) {
  size_t differences = key.size() ^ given.size();
  for (size_t i = 0; i < key.size(); ++i) {
    differences |= static_cast<size_t>(key[i] ^ (i < given.size() ? given[i] : '\0'));
  }
  return differences == 0;
}

// "Bearer KEY", or "Basic" with the key as the password, which browsers ask for by themselves.
std::string KeyIn(absl::string_view authorization) {
  const auto after = [authorization](absl::string_view scheme) {
    return absl::StripAsciiWhitespace(authorization.substr(scheme.size()));
  };
  if (absl::StartsWithIgnoreCase(authorization, kBearer)) return std::string(after(kBearer));
  std::string decoded;
  if (!absl::StartsWithIgnoreCase(authorization, kBasic) ||
      !absl::Base64Unescape(after(kBasic), &decoded)) {
    return "";
  }
  const size_t colon = decoded.find(':');
  return colon == std::string::npos ? "" : decoded.substr(colon + 1);
}

}  // namespace

Refusal CheckKey(const std::vector<std::string>& keys, absl::string_view authorization) {
  const std::string given = KeyIn(authorization);
  bool is_known = keys.empty();
  for (const std::string& key : keys) is_known |= IsSame(key, given);
  if (is_known) return {};
  return {401, "the API key is missing or wrong, expected the header `Authorization: Bearer KEY`"};
}

Refusal CheckBodyHead(const BodyHead& head, int64_t most_bytes) {
  if (head.lengths.size() + (head.is_chunked ? 1 : 0) > 1) {
    return {400, "the body's length is given more than once"};
  }
  if (head.lengths.empty() && !head.is_chunked) {
    return {411, "the body's length is missing: Content-Length"};
  }
  if (!head.lengths.empty()) {
    const std::string& text = head.lengths[0];
    const bool is_number =
        !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
    if (!is_number) return {400, absl::StrCat("Content-Length is '", text, "', expected a number")};
    uint64_t length = 0;
    if (!absl::SimpleAtoi(text, &length) || length > static_cast<uint64_t>(most_bytes)) {
      return {413,
              absl::StrCat("the body has ", text, " bytes, expected ", most_bytes, " at most")};
    }
  }
  if (absl::StartsWithIgnoreCase(head.content_type, "multipart/")) {
    return {415, "the body is a form, expected JSON"};
  }
  return {};
}

}  // namespace sluice::server
