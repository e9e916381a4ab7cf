// One request and its reply: from bytes to a call, and from there to bytes. Whoever holds the
// connection works on it, one thread at a time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "tools/server/http_body.h"
#include "tools/server/http_connection.h"
#include "tools/server/http_gate.h"
#include "tools/server/http_head.h"
#include "tools/server/http_server.h"

namespace sluice::server {

// What all exchanges of a server share.
struct HttpShared {
  HttpShared(HttpOptions http_options, std::vector<Route> http_routes);

  const HttpOptions options;
  const std::vector<Route> routes;
  const HttpGate gate;
  const uint64_t id_base;
  std::atomic<uint64_t> last_id = 0;
  std::atomic<bool> is_stopped = false;  // each reply is the last one of its connection
  HttpEvent abort;                       // nothing more is written
};

class HttpExchange final : public HttpCall {
 public:
  enum class State {
    kBlank,  // nothing has come
    kHead,   // what has come is not whole
    kBody,
    kWhole,    // Answer is to be called
    kRefused,  // Refuse is
  };

  // Both outlive the exchange.
  HttpExchange(HttpShared& shared, HttpConnection& connection);

  const std::string& body() const override { return text_; }
  const std::string& rest() const override { return verdict_.rest; }
  bool IsClientGone() const override;

  // Takes bytes from the front of `bytes`, to the end of the request at most.
  State Take(absl::string_view* bytes);
  // The client waits until it may send the body.
  bool AwaitsContinue() const;
  // May be answered at once, by a thread that must not wait.
  bool is_open() const { return verdict_.route != nullptr && verdict_.route->is_open; }

  // Each gives the reply to the connection, and the record to who wants it. Once.
  void Answer();
  void Refuse();
  // Instead of waiting any longer for the rest of the request.
  void Refuse(Refusal refusal);

  // Once there is a reply: nothing of the connection can be read as another request.
  bool ends_connection() const { return ends_connection_; }

 private:
  State TakeHead();
  State RefuseWith(Refusal refusal);
  HttpReply Run();
  void Write(HttpReply reply);
  void WriteStream(const HttpReply& reply, absl::string_view head);
  void Tell();

  HttpShared& shared_;
  HttpConnection& connection_;
  const HttpConnection::Clock::time_point begin_;
  State state_ = State::kBlank;
  HttpHeadReader reader_;
  std::optional<HttpBodyReader> body_reader_;
  HttpGate::Verdict verdict_;
  Refusal refusal_;
  std::string text_;
  bool ends_connection_ = false;
};

}  // namespace sluice::server
