// Requests that no server should fall for.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice::load {

struct BadRequest {
  absl::string_view what;
  std::string path, body;
  // The codes that are right. 0: a connection that the server closed.
  std::vector<int> codes;
};

// One of each kind; bodies are up to `most_bytes` + 1.
std::vector<BadRequest> AllBadRequests(size_t most_bytes);

// Connects to `url`, sends the head of a request and half of the body that it promises, and goes
// away. False if it could not connect.
bool SendHalfARequest(const std::string& url);

}  // namespace sluice::load
