// A client's socket. Never waits, but for one function that says how long.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice::server {

// Wakes all who wait for it, now or later, until it is cleared.
class HttpEvent {
 public:
  HttpEvent();
  ~HttpEvent();
  HttpEvent(const HttpEvent&) = delete;
  HttpEvent& operator=(const HttpEvent&) = delete;

  void Set() const;
  void Clear() const;
  bool is_set() const;
  int fd() const { return fd_; }  // readable once set; -1 if it could not be had

 private:
  int fd_;
};

class HttpConnection {
 public:
  using Clock = std::chrono::steady_clock;

  // Takes the socket, which does not block.
  explicit HttpConnection(int socket);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  int fd() const { return socket_; }
  // Bytes that have come: 0 if no more will, -1 if the connection is broken, kNothing if there are
  // none now.
  static constexpr ssize_t kNothing = -2;
  ssize_t Receive(char* bytes, size_t size);
  // Also from other threads: the client has closed its sending half at least.
  bool IsPeerGone() const;

  // Sends what the client takes now, and keeps the rest for Flush.
  void Send(absl::string_view bytes);
  void Flush();
  bool has_unsent() const { return sent_ < unsent_.size(); }
  bool is_broken() const { return is_broken_; }
  // Nothing more is sent.
  void Break() { is_broken_ = true; }
  // Sends all of it, and waits for the client. False, and broken, if that takes longer or `end`
  // comes.
  bool SendAll(absl::string_view bytes, std::chrono::milliseconds timeout, const HttpEvent& end);
  // The client sees that nothing more comes.
  void EndSending();

 private:
  const int socket_;
  std::string unsent_;
  size_t sent_ = 0;  // of these
  bool is_broken_ = false;
};

}  // namespace sluice::server
