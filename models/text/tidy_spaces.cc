#include "models/text/tidy_spaces.h"

#include <cstddef>
#include <initializer_list>

#include "absl/strings/match.h"

namespace sluice {
namespace {

std::string DropSpaceBefore(absl::string_view text,
                            std::initializer_list<absl::string_view> followers) {
  std::string result;
  for (size_t at = 0; at < text.size(); ++at) {
    bool drop = false;
    for (const absl::string_view follower : followers) {
      drop |= text[at] == ' ' && absl::StartsWith(text.substr(at + 1), follower);
    }
    if (!drop) result.push_back(text[at]);
  }
  return result;
}

std::string DropSpacesAroundApostrophe(absl::string_view text) {
  constexpr absl::string_view kLoneApostrophe = " ' ";
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const bool lone = absl::StartsWith(text.substr(at), kLoneApostrophe);
    result.push_back(lone ? '\'' : text[at]);
    at += lone ? kLoneApostrophe.size() : 1;
  }
  return result;
}

}  // namespace

std::string TidySpaces(absl::string_view text) {
  std::string result = DropSpaceBefore(text, {"?", "!", ".", ","});
  result = DropSpacesAroundApostrophe(result);
  return DropSpaceBefore(result, {"'s", "'m", "'re", "'ve"});
}

}  // namespace sluice
