#include "tools/server/http_connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice::server {
namespace {

using std::chrono::milliseconds;

void AddressOf(const sockaddr_storage& address, std::string* ip, int* port) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET6) {
    const auto* const in = reinterpret_cast<const sockaddr_in6*>(&address);
    inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof text);
    *port = ntohs(in->sin6_port);
  } else if (address.ss_family == AF_INET) {
    const auto* const in = reinterpret_cast<const sockaddr_in*>(&address);
    inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
    *port = ntohs(in->sin_port);
  }
  *ip = text;
}

}  // namespace

StickyEvent::StickyEvent() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
StickyEvent::~StickyEvent() { ::close(fd_); }

void StickyEvent::Set() const {
  const uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(fd_, &one, sizeof one);
}

HttpConnection::HttpConnection(int socket, const StickyEvent& no_reading,
                               const StickyEvent& no_writing)
    : socket_(socket), no_reading_(no_reading), no_writing_(no_writing) {
  // The messages of a stream are small, and each is worth a packet.
  const int yes = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

HttpConnection::~HttpConnection() { ::close(socket_); }

bool HttpConnection::Await(short events, const StickyEvent& end, Clock::time_point deadline) const {
  pollfd waited[] = {{socket_, events, 0}, {end.fd(), POLLIN, 0}};
  while (true) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now()).count();
    const int count = poll(waited, 2, static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30)));
    if (count < 0 && errno == EINTR) continue;
    return count > 0 && waited[1].revents == 0 && waited[0].revents != 0;
  }
}

bool HttpConnection::AwaitRequest(milliseconds timeout) {
  return is_readable() || Await(POLLIN, no_reading_, Clock::now() + timeout);
}

void HttpConnection::LimitReading(milliseconds timeout, size_t bytes) {
  read_deadline_ = Clock::now() + timeout;
  readable_bytes_ = bytes;
}

bool HttpConnection::IsPeerGone() const {
  char byte;
  const ssize_t count = recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void HttpConnection::Linger() {
  constexpr size_t kMost = 1 << 20;
  constexpr milliseconds kLongest(500);
  if (::shutdown(socket_, SHUT_WR) != 0) return;
  const auto deadline = Clock::now() + kLongest;
  for (size_t total = 0; total < kMost && Await(POLLIN, no_writing_, deadline);) {
    const ssize_t count = recv(socket_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (count <= 0) break;
    total += static_cast<size_t>(count);
  }
}

ssize_t HttpConnection::read(char* bytes, size_t size) {
  if (begin_ == end_) {
    if (!Await(POLLIN, no_reading_, read_deadline_)) return -1;
    const ssize_t count = recv(socket_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (count <= 0) return count;
    begin_ = 0;
    end_ = static_cast<size_t>(count);
  }
  const size_t count = std::min({size, end_ - begin_, readable_bytes_});
  if (count == 0) return -1;
  std::memcpy(bytes, buffer_.data() + begin_, count);
  begin_ += count;
  readable_bytes_ -= count;
  return static_cast<ssize_t>(count);
}

ssize_t HttpConnection::write(const char* bytes, size_t size) {
  const auto deadline = Clock::now() + write_timeout_;
  for (size_t written = 0; written < size;) {
    if (!Await(POLLOUT, no_writing_, deadline)) return -1;
    const ssize_t count =
        send(socket_, bytes + written, size - written, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) continue;
    if (count < 0) return -1;
    written += static_cast<size_t>(count);
  }
  return static_cast<ssize_t>(size);
}

void HttpConnection::get_remote_ip_and_port(std::string& ip, int& port) const {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  getpeername(socket_, reinterpret_cast<sockaddr*>(&address), &size);
  AddressOf(address, &ip, &port);
}

void HttpConnection::get_local_ip_and_port(std::string& ip, int& port) const {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
  AddressOf(address, &ip, &port);
}

}  // namespace sluice::server
