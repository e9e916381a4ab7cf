// Words on a socket, as no library would send them.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace sluice {

class Wire {
 public:
  // To a port of this machine.
  explicit Wire(int port, const std::string& address = "127.0.0.1")
      : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in place = {};
    place.sin_family = AF_INET;
    place.sin_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET, address.c_str(), &place.sin_addr);
    const int yes = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    // No test waits for longer.
    const timeval patience = {60, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&place), sizeof place), 0);
  }
  Wire(Wire&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  ~Wire() {
    if (socket_ >= 0) close(socket_);
  }
  int fd() const { return socket_; }

  void Say(absl::string_view text) {
    EXPECT_EQ(send(socket_, text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // Asks for a completion.
  void SayRequest(const nlohmann::json& body) {
    const std::string text = body.dump();
    Say(
        absl::StrCat("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                     "Content-Type: application/json\r\nContent-Length: ",
                     text.size(), "\r\n\r\n", text));
  }
  // As Say; the other end may have gone.
  void Try(absl::string_view text) { send(socket_, text.data(), text.size(), MSG_NOSIGNAL); }
  // All until the server closes the connection, or so much at least.
  std::string Hear(size_t most = std::string::npos) {
    std::string heard;
    char bytes[16384];
    while (heard.size() < most) {
      const ssize_t count = recv(socket_, bytes, sizeof bytes, 0);
      if (count <= 0) break;
      heard.append(bytes, static_cast<size_t>(count));
    }
    return heard;
  }
  // Until what was heard ends so.
  std::string HearUntil(absl::string_view end) {
    std::string heard;
    char byte;
    while (!absl::EndsWith(heard, end) && recv(socket_, &byte, 1, 0) == 1) heard.push_back(byte);
    return heard;
  }

 private:
  int socket_;
};

// A reply as it stands in what was heard.
struct WireReply {
  int status = 0;
  std::string head, body;
};

// What was heard as replies, one after another; the method of request i is `methods[i]`, GET where
// there are fewer. A rest that is none is a reply with the status -1.
inline std::vector<WireReply> RepliesIn(absl::string_view heard,
                                        const std::vector<std::string>& methods = {}) {
  std::vector<WireReply> replies;
  size_t requests = 0;
  while (!heard.empty()) {
    const size_t end = heard.find("\r\n\r\n");
    WireReply reply;
    if (end == absl::string_view::npos || !absl::StartsWith(heard, "HTTP/1.1 ") ||
        !absl::SimpleAtoi(heard.substr(9, 3), &reply.status)) {
      replies.push_back({-1, "", std::string(heard)});
      return replies;
    }
    reply.head = std::string(heard.substr(0, end + 2));
    heard.remove_prefix(end + 4);
    size_t length = heard.size();  // until the connection ends
    for (const absl::string_view line : absl::StrSplit(reply.head, "\r\n")) {
      const std::pair<absl::string_view, absl::string_view> field =
          absl::StrSplit(line, absl::MaxSplits(": ", 1));
      if (field.first != "Content-Length") continue;
      EXPECT_TRUE(absl::SimpleAtoi(field.second, &length));
    }
    const bool is_chunked = absl::StrContains(reply.head, "Transfer-Encoding: chunked\r\n");
    const bool is_head = requests < methods.size() && methods[requests] == "HEAD";
    if (is_chunked) length = heard.find("0\r\n\r\n") + 5;
    if (reply.status == 100 || reply.status == 204 || is_head) length = 0;
    if (reply.status != 100) ++requests;
    reply.body = std::string(heard.substr(0, length));
    EXPECT_EQ(reply.body.size(), length) << "a reply is cut off";
    heard.remove_prefix(reply.body.size());
    replies.push_back(std::move(reply));
  }
  return replies;
}

}  // namespace sluice
