#include "tools/server/http_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

namespace sluice::server {
namespace {

using std::chrono::milliseconds;

bool IsForNow(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

HttpEvent::HttpEvent() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
HttpEvent::~HttpEvent() {
  if (fd_ >= 0) ::close(fd_);
}

// What fails is a counter that is full, or was zero: in both cases there is nothing to do.
void HttpEvent::Set() const { eventfd_write(fd_, 1); }

void HttpEvent::Clear() const {
  eventfd_t count = 0;
  eventfd_read(fd_, &count);
}

bool HttpEvent::is_set() const {
  pollfd asked = {fd_, POLLIN, 0};
  return poll(&asked, 1, 0) > 0;
}

HttpConnection::HttpConnection(int socket) : socket_(socket) {
  // The messages of a stream are small, and each is worth a packet.
  const int yes = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

HttpConnection::~HttpConnection() { ::close(socket_); }

ssize_t HttpConnection::Receive(char* bytes, size_t size) {
  const ssize_t count = recv(socket_, bytes, size, MSG_DONTWAIT);
  if (count >= 0) return count;
  if (IsForNow(errno)) return kNothing;
  is_broken_ = true;
  return -1;
}

bool HttpConnection::IsPeerGone() const {
  pollfd asked = {socket_, POLLRDHUP, 0};
  return poll(&asked, 1, 0) > 0;
}

void HttpConnection::Send(absl::string_view bytes) {
  unsent_.append(bytes.data(), bytes.size());
  Flush();
}

void HttpConnection::Flush() {
  while (has_unsent() && !is_broken_) {
    const ssize_t count =
        send(socket_, unsent_.data() + sent_, unsent_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) {
      sent_ += static_cast<size_t>(count);
    } else if (errno != EINTR) {
      is_broken_ = !IsForNow(errno);
      return;
    }
  }
  std::string().swap(unsent_);
  sent_ = 0;
}

bool HttpConnection::SendAll(absl::string_view bytes, milliseconds timeout, const HttpEvent& end) {
  const auto deadline = Clock::now() + timeout;
  Send(bytes);
  while (has_unsent() && !is_broken_) {
    pollfd waited[] = {{socket_, POLLOUT, 0}, {end.fd(), POLLIN, 0}};
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now()).count();
    const int count = poll(waited, 2, static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30)));
    if (count < 0 && errno == EINTR) continue;
    is_broken_ = count <= 0 || waited[1].revents != 0;
    Flush();
  }
  return !is_broken_;
}

void HttpConnection::EndSending() { ::shutdown(socket_, SHUT_WR); }

}  // namespace sluice::server
