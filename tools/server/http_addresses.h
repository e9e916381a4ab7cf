// Addresses: whose connections are counted together, and how they are written.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <map>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice::server {

// 192.0.2.1 or [2001:db8::1].
bool IsAddress(absl::string_view host);
// A name or address that only this machine reaches.
bool IsLoopback(absl::string_view host);
// As it stands in an address: IPv6 in brackets.
std::string UrlHost(absl::string_view host);

// Who is at the other end; "": this machine. Of IPv6 the network of 64 bits, of which one machine
// can have all addresses.
std::string NeighbourOf(const sockaddr_storage& address);

// Connections of each of them.
class NeighbourCounts {
 public:
  explicit NeighbourCounts(int most) : most_(most) {}
  // False if it has too many; "" may have any number.
  bool Admit(const std::string& neighbour);
  // One that was admitted has gone.
  void Leave(const std::string& neighbour);

 private:
  const int most_;
  std::map<std::string, int> counts_;
};

}  // namespace sluice::server
