#include "tools/load/held_connections.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace sluice::load {
namespace {

// The i-th of them; -1 if it cannot be had.
int Hold(const std::string& url, size_t i) {
  constexpr absl::string_view kHalf = "GET /health HTTP/1.1\r\nHost: local";
  constexpr size_t kHalfOf = 5;
  const int made = ConnectTo(url);
  if (made >= 0 && i % kHalfOf == kHalfOf - 1) send(made, kHalf.data(), kHalf.size(), MSG_NOSIGNAL);
  return made;
}

// The server has said something, which it does only in the end, or nothing any more.
bool IsOver(int made) {
  pollfd asked = {made, POLLIN, 0};
  return poll(&asked, 1, 0) != 0;
}

}  // namespace

int ConnectTo(const std::string& url) {
  absl::string_view place = url;
  absl::ConsumePrefix(&place, "http://");
  const size_t colon = place.rfind(':');
  const bool has_port = colon != absl::string_view::npos && !absl::EndsWith(place, "]");
  std::string host(place.substr(0, has_port ? colon : place.size()));
  const std::string port(has_port ? place.substr(colon + 1) : "80");
  if (absl::StartsWith(host, "[")) host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) return -1;
  int made = -1;
  for (const addrinfo* one = found; one != nullptr && made < 0; one = one->ai_next) {
    made = socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
    if (made < 0 || connect(made, one->ai_addr, one->ai_addrlen) == 0) continue;
    close(made);
    made = -1;
  }
  freeaddrinfo(found);
  return made;
}

HeldConnections::~HeldConnections() {
  for (const int held : sockets_) close(held);
}

absl::Status HeldConnections::Open(int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const int held = Hold(url_, sockets_.size());
    if (held < 0) {
      return absl::UnavailableError(absl::StrCat("only ", sockets_.size(), " connections to ", url_,
                                                 " could be had: ", std::strerror(errno)));
    }
    sockets_.push_back(held);
  }
  return absl::OkStatus();
}

absl::Status HeldConnections::Renew() {
  for (size_t i = 0; i < sockets_.size(); ++i) {
    if (!IsOver(sockets_[i])) continue;
    const int held = Hold(url_, i);
    if (held < 0) return absl::UnavailableError(absl::StrCat("no connection to ", url_));
    close(sockets_[i]);
    sockets_[i] = held;
    ++renewed_;
  }
  return absl::OkStatus();
}

}  // namespace sluice::load
