#include "tools/server/http_key.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "tools/server/http_line.h"

namespace sluice::server {
namespace {

constexpr absl::string_view kBearer = "Bearer ", kBasic = "Basic ";

}  // namespace

std::string KeyIn(absl::string_view authorization) {
  const auto after = [authorization](absl::string_view scheme) {
    return WithoutBlanks(authorization.substr(scheme.size()));
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

std::string FaultOfKey(absl::string_view key) {
  if (key.empty()) return "it is empty, and would let everybody in";
  const bool is_visible = std::all_of(key.begin(), key.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c));
  });
  return is_visible ? "" : "it has a blank, a control character or one outside of ASCII";
}

}  // namespace sluice::server
