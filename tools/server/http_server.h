// HTTP as the routes see it: requests that are whole and allowed come in, replies go out.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/server/call_record.h"

namespace sluice::server {

class HttpCall {
 public:
  virtual ~HttpCall() = default;
  virtual const std::string& body() const = 0;
  // What stands in the path for the * of its route, percent-decoded.
  virtual const std::string& rest() const = 0;
  // The client has closed the connection, or its sending half of it. From any thread.
  virtual bool IsClientGone() const = 0;

  CallRecord record;
};

// Gives a part of the body to the client; false if that has failed and will fail.
using StreamWriter = std::function<bool(absl::string_view)>;

struct HttpReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // further ones
  // If there is one, it writes the body part by part, on the thread of the call, which outlives it.
  std::function<void(const StreamWriter&)> stream;
};
// The reply to what failed, with the outcome in the record.
HttpReply ErrorReply(HttpCall& call, const absl::Status& status);

struct Route {
  // A path that ends with /* stands for all that go on there: "/v1/models/*" for /v1/models/a and
  // /v1/models/a/b.
  std::string method, path;
  std::function<HttpReply(HttpCall&)> handle;  // on several threads at once
  // To everybody: needs no key. Answered where connections are waited for, and so even where all
  // threads are at work: it must not wait.
  bool is_open = false;
};

struct HttpOptions {
  std::string host = "127.0.0.1";
  int port = 8080;                         // 0: any that is free
  int threads = 8;                         // calls at work at once
  int connections = 4096;                  // at once, whatever they do
  int connections_per_address = 64;        // of these, from one that is not this machine
  int64_t most_body_bytes = 4 << 20;       // of a request
  int64_t most_held_bytes = 512 << 20;     // of all bodies together; one may always be there
  std::vector<std::string> api_keys;       // none: everybody is served
  std::vector<std::string> allowed_hosts;  // names for the server; "*": any
  std::vector<std::string> cors_origins;   // of pages that may ask and read; "*": any
  std::chrono::milliseconds idle_timeout = std::chrono::seconds(75);   // between requests
  std::chrono::milliseconds head_timeout = std::chrono::seconds(10);   // for all of it
  std::chrono::milliseconds body_timeout = std::chrono::seconds(60);   // for all of it
  std::chrono::milliseconds write_timeout = std::chrono::seconds(30);  // for one part of a body
  // Called after each call, on its thread.
  std::function<void(const CallRecord&)> on_done;
};
// InvalidArgument: keys that protect nothing, names and origins that no client would send.
absl::Status CheckHttpOptions(const HttpOptions& options);

class HttpServer {
 public:
  // Binds to the port: clients can connect from now on, and are answered once Run is called.
  // Unavailable: the port cannot be had.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Listen(HttpOptions options,
                                                            std::vector<Route> routes);
  virtual ~HttpServer() = default;

  virtual int port() const = 0;
  // Answers requests until Stop, and then those that have been read.
  virtual void Run() = 0;
  // The following may be called from any thread.
  // No further requests are read, calls that are at work go on.
  virtual void Stop() = 0;
  // Waits until there are no more calls; false if there are any after `timeout`.
  virtual bool AwaitNoCalls(std::chrono::milliseconds timeout) = 0;
  // Nothing more is written, so that all calls end soon.
  virtual void Abort() = 0;
};

}  // namespace sluice::server
