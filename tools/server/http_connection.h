// A client's socket with bounds on how long it may take for what. For http_server.cc only.
#pragma once

#include <httplib.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>

namespace sluice::server {

// An event that stays: all who wait for it, now or later, are woken.
class StickyEvent {
 public:
  StickyEvent();
  ~StickyEvent();
  StickyEvent(const StickyEvent&) = delete;
  StickyEvent& operator=(const StickyEvent&) = delete;

  void Set() const;
  int fd() const { return fd_; }  // readable once set

 private:
  int fd_;
};

// httplib's own stream waits with select(), which knows 1024 sockets, has no bound but on the time
// between two bytes, and cannot be woken.
class HttpConnection final : public httplib::Stream {
 public:
  using Clock = std::chrono::steady_clock;

  // `no_reading` ends what waits for the client to send, `no_writing` the rest.
  HttpConnection(int socket, const StickyEvent& no_reading, const StickyEvent& no_writing);
  ~HttpConnection() override;

  // Waits for the first byte of a request. False if none comes, or the client has hung up.
  bool AwaitRequest(std::chrono::milliseconds timeout);
  // From now on reading may go on for so long and give so much.
  void LimitReading(std::chrono::milliseconds timeout, size_t bytes);
  void LimitWriting(std::chrono::milliseconds timeout) { write_timeout_ = timeout; }
  bool IsPeerGone() const;
  // Lets the client read the last reply before the connection is reset, if there is something that
  // it sent and that nobody read.
  void Linger();

  bool is_readable() const override { return begin_ < end_; }
  bool is_writable() const override { return !IsPeerGone(); }
  ssize_t read(char* bytes, size_t size) override;
  // All of it, or -1.
  ssize_t write(const char* bytes, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override { return socket_; }
  // Further functions that newer versions of the library ask for.
  bool wait_readable() const { return is_readable(); }
  bool wait_writable() const { return is_writable(); }
  time_t duration() const { return 0; }

 private:
  bool Await(short events, const StickyEvent& end, Clock::time_point deadline) const;

  const int socket_;
  const StickyEvent& no_reading_;
  const StickyEvent& no_writing_;
  Clock::time_point read_deadline_;
  size_t readable_bytes_ = 0;
  std::chrono::milliseconds write_timeout_{0};
  std::array<char, 16384> buffer_;  // what was read and not yet given out is in [begin_, end_)
  size_t begin_ = 0, end_ = 0;
};

}  // namespace sluice::server
