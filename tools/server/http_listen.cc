#include "tools/server/http_listen.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tools/server/http_addresses.h"

namespace sluice::server {
namespace {

constexpr int kBacklog = 1024;  // connections that nobody has accepted yet

int PortOf(int socket) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

// -1, with errno, if it cannot be had.
int ListenAt(const addrinfo& place) {
  const int made =
      socket(place.ai_family, place.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, place.ai_protocol);
  if (made < 0) return -1;
  const int yes = 1, no = 0;
  // The port of a server that has just ended is free; that of one which runs is not.
  setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (place.ai_family == AF_INET6) setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  if (bind(made, place.ai_addr, place.ai_addrlen) == 0 && listen(made, kBacklog) == 0) return made;
  const int error = errno;
  ::close(made);
  errno = error;
  return -1;
}

}  // namespace

absl::StatusOr<ListeningSocket> ListenOn(const std::string& host, int port) {
  const auto fail = [&](absl::string_view why) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", UrlHost(host), ":", port, ": ", why));
  };
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  std::string name = UrlHost(host);
  if (absl::StartsWith(name, "[")) name = name.substr(1, name.size() - 2);
  addrinfo* found = nullptr;
  const int error = getaddrinfo(name.c_str(), absl::StrCat(port).c_str(), &hints, &found);
  if (error != 0) return fail(gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> places(found, &freeaddrinfo);
  for (const addrinfo* place = found; place != nullptr; place = place->ai_next) {
    const int socket = ListenAt(*place);
    if (socket >= 0) return ListeningSocket{socket, PortOf(socket)};
  }
  return fail(std::strerror(errno));
}

}  // namespace sluice::server
