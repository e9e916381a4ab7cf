#include "tools/server/http_addresses.h"

#include <arpa/inet.h>

#include <array>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace sluice::server {
namespace {

constexpr size_t kNetworkBytes = 8;

absl::string_view WithoutBrackets(absl::string_view host) {
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    host.remove_prefix(1);
    host.remove_suffix(1);
  }
  return host;
}

std::string TextOf(int family, const void* address) {
  std::array<char, INET6_ADDRSTRLEN> text = {};
  inet_ntop(family, address, text.data(), text.size());
  return text.data();
}

std::string NeighbourOfV4(in_addr address) {
  constexpr uint32_t kLoopbackNetwork = 127;
  return ntohl(address.s_addr) >> 24 == kLoopbackNetwork ? "" : TextOf(AF_INET, &address);
}

}  // namespace

bool IsAddress(absl::string_view host) {
  const std::string text(WithoutBrackets(host));
  in6_addr address;
  return inet_pton(text.size() < host.size() ? AF_INET6 : AF_INET, text.c_str(), &address) == 1;
}

bool IsLoopback(absl::string_view host) {
  host = WithoutBrackets(host);
  return host == "localhost" || host == "::1" ||
         (absl::StartsWith(host, "127.") && IsAddress(host));
}

std::string UrlHost(absl::string_view host) {
  host = WithoutBrackets(host);
  return absl::StrContains(host, ':') ? absl::StrCat("[", host, "]") : std::string(host);
}

std::string NeighbourOf(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    return NeighbourOfV4(reinterpret_cast<const sockaddr_in&>(address).sin_addr);
  }
  if (address.ss_family != AF_INET6) return "";
  in6_addr v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (IN6_IS_ADDR_LOOPBACK(&v6)) return "";
  if (IN6_IS_ADDR_V4MAPPED(&v6)) {
    in_addr v4;
    std::memcpy(&v4, v6.s6_addr + sizeof v6 - sizeof v4, sizeof v4);
    return NeighbourOfV4(v4);
  }
  std::memset(v6.s6_addr + kNetworkBytes, 0, sizeof v6 - kNetworkBytes);
  return absl::StrCat(TextOf(AF_INET6, &v6), "/64");
}

bool NeighbourCounts::Admit(const std::string& neighbour) {
  if (neighbour.empty()) return true;
  int& count = counts_[neighbour];
  if (count >= most_) return false;
  ++count;
  return true;
}

void NeighbourCounts::Leave(const std::string& neighbour) {
  const auto found = counts_.find(neighbour);
  if (found != counts_.end() && --found->second == 0) counts_.erase(found);
}

}  // namespace sluice::server
