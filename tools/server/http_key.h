// API keys.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice::server {

// Compares a key, which is not empty, with what a stranger gave. How many bytes it looks at depends
// on the stranger's text only: not on where the two differ, nor on how long the key is.
template <typename Text>
bool IsSameKey(const Text& key, const Text& given) {
  size_t differences = key.size() ^ given.size();
  for (size_t i = 0; i < given.size(); ++i) {
    differences |= static_cast<size_t>(key[i % key.size()] ^ given[i]);
  }
  return differences == 0;
}

// The same of each of them, whether or not one before it was the right one.
template <typename Text>
bool IsAnyKey(const std::vector<Text>& keys, const Text& given) {
  bool is_known = false;
  for (const Text& key : keys) is_known |= IsSameKey(key, given);
  return is_known;
}

// In the header Authorization: a bearer token (RFC 6750), or Basic (RFC 7617) with any user and the
// key as the password, which browsers ask for by themselves. "" if there is none.
std::string KeyIn(absl::string_view authorization);

// What is wrong with it as a key; "" if nothing is.
std::string FaultOfKey(absl::string_view key);

}  // namespace sluice::server
