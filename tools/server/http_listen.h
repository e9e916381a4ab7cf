// A socket that listens.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace sluice::server {

struct ListeningSocket {
  int socket;  // does not block; whoever has it closes it
  int port;
};
// On the first address of `host` that can be had. Unavailable: there is none.
absl::StatusOr<ListeningSocket> ListenOn(const std::string& host, int port);

}  // namespace sluice::server
