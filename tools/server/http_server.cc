#include "tools/server/http_server.h"

#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tools/server/api_error.h"
#include "tools/server/http_calls.h"
#include "tools/server/http_checks.h"
#include "tools/server/http_connection.h"

namespace sluice::server {
namespace {

using std::chrono::milliseconds;

constexpr size_t kMostHeadBytes = 64 << 10;
constexpr int kMostRequests = 1000;  // of one connection
constexpr int kBacklog = 512;        // connections that nobody has accepted yet

// Whether the path is the route's; of one with a * what stands in its place is `rest`.
bool IsOf(const Route& route, absl::string_view path, absl::string_view* rest) {
  absl::string_view begin = route.path;
  *rest = path;
  if (!absl::ConsumeSuffix(&begin, "*")) return path == route.path;
  return absl::ConsumePrefix(rest, begin) && !rest->empty();
}

// The same in the library's words.
std::string PatternOf(const Route& route) {
  absl::string_view begin = route.path;
  return absl::ConsumeSuffix(&begin, "*") ? absl::StrCat(begin, ".+") : route.path;
}

class Server final : public HttpServer, private httplib::Server {
 public:
  Server(HttpOptions options, std::vector<Route> routes);

  absl::Status Bind();
  int port() const override { return port_; }
  void Run() override { listen_after_bind(); }
  void Stop() override;
  bool AwaitNoCalls(milliseconds timeout) override { return calls_.AwaitNone(timeout); }
  void Abort() override { no_writing_.Set(); }

 private:
  using Setup = std::function<void(httplib::Request&)>;

  bool process_and_close_socket(socket_t socket) override;
  bool Serve(HttpConnection& connection);
  void Begin(HttpWork& call, httplib::Request& request);
  void End(HttpWork& call);

  // process_request is not the same in all versions of the library.
  bool Process(bool (httplib::Server::*process)(httplib::Stream&, bool, bool&, const Setup&),
               HttpConnection& connection, bool& closed, const Setup& setup) {
    return (this->*process)(connection, false, closed, setup);
  }
  bool Process(bool (httplib::Server::*process)(httplib::Stream&, const std::string&, int,
                                                const std::string&, int, bool, bool&, const Setup&),
               HttpConnection& connection, bool& closed, const Setup& setup) {
    std::string theirs, ours;
    int their_port = 0, our_port = 0;
    connection.get_remote_ip_and_port(theirs, their_port);
    connection.get_local_ip_and_port(ours, our_port);
    return (this->*process)(connection, theirs, their_port, ours, our_port, false, closed, setup);
  }

  void AddHandlers();
  Refusal RefusalOf(HttpWork& call, const httplib::Request& request) const;
  HttpReply Answer(const Route& route, HttpWork& call, const httplib::ContentReader& reader);
  void Send(HttpWork& call, HttpReply reply, httplib::Response& response);
  void Refuse(HttpWork& call, const Refusal& refusal, httplib::Response& response);

  const HttpOptions options_;
  const std::vector<Route> routes_;
  int port_ = 0;
  int listening_ = -1;
  const uint64_t id_base_ = std::random_device()();
  std::atomic<uint64_t> last_id_ = 0;
  std::atomic<int> connections_ = 0;
  std::atomic<bool> stopped_ = false;
  StickyEvent no_reading_, no_writing_;
  HttpCalls calls_;
};

Server::Server(HttpOptions options, std::vector<Route> routes)
    : options_(std::move(options)), routes_(std::move(routes)) {
  new_task_queue = [this] {
    return new httplib::ThreadPool(static_cast<size_t>(options_.threads));
  };
  set_keep_alive_max_count(kMostRequests);
  set_keep_alive_timeout(
      std::chrono::duration_cast<std::chrono::seconds>(options_.idle_timeout).count());
  // Not the library's own option, which lets several programs share a port.
  set_socket_options([this](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    listening_ = socket;
  });
  AddHandlers();
}

absl::Status Server::Bind() {
  errno = 0;
  port_ = options_.port == 0                           ? bind_to_any_port(options_.host)
          : bind_to_port(options_.host, options_.port) ? options_.port
                                                       : -1;
  // The library's queue holds five connections.
  if (port_ > 0 && ::listen(listening_, kBacklog) == 0) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", options_.host, ":", options_.port, ": ",
                   errno == 0 ? "no such address" : std::strerror(errno)));
}

// The library's stop() would also cut off streams. Once its socket does not listen any more, it
// ends by itself when all calls are done.
void Server::Stop() {
  stopped_ = true;
  no_reading_.Set();
  ::shutdown(listening_, SHUT_RDWR);
}

bool Server::process_and_close_socket(socket_t socket) {
  HttpConnection connection(socket, no_reading_, no_writing_);
  ++connections_;
  int requests = 0;
  while (requests < kMostRequests && connection.AwaitRequest(options_.idle_timeout)) {
    ++requests;
    if (!Serve(connection)) break;
  }
  if (requests > 0) connection.Linger();
  --connections_;
  return true;
}

// One request. False if the connection is to end.
bool Server::Serve(HttpConnection& connection) {
  connection.LimitReading(options_.head_timeout, kMostHeadBytes);
  connection.LimitWriting(options_.write_timeout);
  HttpWork call(connection);
  const Setup begin = [&](httplib::Request& request) {
    connection.LimitReading(options_.body_timeout, SIZE_MAX);
    Begin(call, request);
  };
  bool closed = false, done = false;
  try {
    done = Process(&Server::process_request, connection, closed, begin);
  } catch (const std::exception&) {
    // Out of memory, or what the library makes of a malformed head: the connection ends.
  }
  if (call.is_begun) End(call);
  return done && call.is_begun && !closed && !call.has_more && !call.ends_connection;
}

void Server::Begin(HttpWork& call, httplib::Request& request) {
  call.is_begun = true;
  call.record.id =
      absl::StrCat(absl::Hex(id_base_, absl::kZeroPad8), absl::Hex(++last_id_, absl::kZeroPad8));
  call.record.method = request.method;
  call.has_more =
      request.has_header("Transfer-Encoding") ||
      (request.has_header("Content-Length") && request.get_header_value("Content-Length") != "0");
  // Parts of a compressed stream would be held back; there are no parts of files.
  request.headers.erase("Accept-Encoding");
  request.headers.erase("Range");
  request.ranges.clear();
  // Where threads get scarce, none waits for a further request.
  call.ends_connection = stopped_ || connections_ > options_.threads * 3 / 4;
  if (call.ends_connection) {
    request.headers.erase("Connection");
    request.headers.emplace("Connection", "close");
  }
  calls_.Add(request, call);
}

void Server::End(HttpWork& call) {
  call.record.seconds = call.Seconds();
  if (options_.on_done) options_.on_done(call.record);
  calls_.Remove(call);
}

void Server::AddHandlers() {
  set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
    HttpWork& call = calls_.Of(request);
    const Refusal refusal = RefusalOf(call, request);
    if (refusal.status == 0) return HandlerResponse::Unhandled;
    Refuse(call, refusal, response);
    return HandlerResponse::Handled;
  });
  for (const Route& route : routes_) {
    if (route.method == "GET") {
      Get(PatternOf(route),
          [&, this](const httplib::Request& request, httplib::Response& response) {
            HttpWork& call = calls_.Of(request);
            Send(call, route.handle(call), response);
          });
    } else {
      Post(PatternOf(route), [&, this](const httplib::Request& request, httplib::Response& response,
                                       const httplib::ContentReader& reader) {
        HttpWork& call = calls_.Of(request);
        Send(call, Answer(route, call, reader), response);
      });
    }
  }
  set_exception_handler(
      [this](const httplib::Request& request, httplib::Response& response, std::exception_ptr) {
        Refuse(calls_.Of(request), {500, "the server failed to answer"}, response);
      });
  // What the library refuses by itself, before there is a call.
  set_error_handler([](const httplib::Request&, httplib::Response& response) {
    if (!response.body.empty() || response.content_provider_) return;
    response.set_content(ErrorBody(response.status, "this is no HTTP request that can be served"),
                         "application/json");
  });
}

Refusal Server::RefusalOf(HttpWork& call, const httplib::Request& request) const {
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  const Route* found = nullptr;
  bool path_exists = false;
  for (const Route& route : routes_) {
    absl::string_view rest;
    if (!IsOf(route, request.path, &rest)) continue;
    path_exists = true;
    call.record.path = route.path;
    if (route.path != request.path) call.rest_of_path = std::string(rest);
    if (route.method == method) found = &route;
  }
  if (found == nullptr || !found->is_open) {
    Refusal refusal = CheckKey(options_.api_keys, request.get_header_value("Authorization"));
    if (refusal.status != 0) return refusal;
  }
  if (!path_exists) return {404, absl::StrCat("there is no ", request.path)};
  if (found == nullptr) {
    return {405, absl::StrCat(request.path, " does not take ", request.method)};
  }
  if (method != "POST") return {};
  BodyHead head = {.is_chunked = request.has_header("Transfer-Encoding"),
                   .content_type = request.get_header_value("Content-Type")};
  const auto [begin, end] = request.headers.equal_range("Content-Length");
  for (auto it = begin; it != end; ++it) head.lengths.push_back(it->second);
  return CheckBodyHead(head, options_.most_body_bytes);
}

HttpReply Server::Answer(const Route& route, HttpWork& call, const httplib::ContentReader& reader) {
  bool too_large = false;
  const bool complete = reader([&](const char* bytes, size_t size) {
    too_large = call.text.size() + size > static_cast<size_t>(options_.most_body_bytes);
    if (!too_large) call.text.append(bytes, size);
    return !too_large;
  });
  call.has_more = !complete;
  if (complete) return route.handle(call);
  const int status = too_large ? 413 : 400;
  call.record.outcome = too_large ? absl::StrCat("the body is too large, expected ",
                                                 options_.most_body_bytes, " bytes at most")
                                  : "the body is not complete";
  return {.status = status, .body = ErrorBody(status, call.record.outcome)};
}

void Server::Refuse(HttpWork& call, const Refusal& refusal, httplib::Response& response) {
  call.record.outcome = refusal.message;
  // The page asks for the key as a browser does; programs are told what they expect.
  if (refusal.status == 401) {
    response.set_header("WWW-Authenticate", call.record.path == "/"
                                                ? "Basic realm=\"the API key as password\""
                                                : "Bearer");
  }
  Send(call, {.status = refusal.status, .body = ErrorBody(refusal.status, refusal.message)},
       response);
}

void Server::Send(HttpWork& call, HttpReply reply, httplib::Response& response) {
  call.record.status = response.status = reply.status;
  response.set_header("X-Request-Id", call.record.id);
  for (const auto& [name, value] : reply.headers) response.set_header(name, value);
  if (reply.status == 429 || reply.status == 503) response.set_header("Retry-After", "1");
  if (call.has_more) response.set_header("Connection", "close");
  if (!reply.stream) return response.set_content(reply.body, reply.content_type);
  response.set_header("Cache-Control", "no-cache");
  // All of it in one go: between two the library would ask whether it is being stopped.
  response.set_chunked_content_provider(
      reply.content_type, [stream = std::move(reply.stream)](size_t, httplib::DataSink& sink) {
        bool ok = true;
        stream([&](absl::string_view part) {
          ok = ok && sink.write(part.data(), part.size());
          return ok;
        });
        if (ok) sink.done();
        return ok;
      });
}

}  // namespace

HttpReply ErrorReply(HttpCall& call, const absl::Status& status) {
  call.record.outcome = std::string(status.message());
  return {.status = HttpCodeOf(status), .body = ErrorBody(status)};
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Listen(HttpOptions options,
                                                               std::vector<Route> routes) {
  auto server = std::make_unique<Server>(std::move(options), std::move(routes));
  if (absl::Status status = server->Bind(); !status.ok()) return status;
  return server;
}

}  // namespace sluice::server
