// What is refused of a request before its body is read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice::server {

struct Refusal {
  int status = 0;  // 0: none
  std::string message;
};

// `authorization` is the header of this name: a bearer token (RFC 6750), or Basic (RFC 7617) with
// any user and the key as the password. Without keys everybody is allowed.
Refusal CheckKey(const std::vector<std::string>& keys, absl::string_view authorization);

struct BodyHead {
  std::vector<std::string> lengths;  // each Content-Length
  bool is_chunked = false;           // or encoded in another way
  std::string content_type;
};
Refusal CheckBodyHead(const BodyHead& head, int64_t most_bytes);

}  // namespace sluice::server
