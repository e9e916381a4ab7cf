#include "tools/server/http_server.h"

#include <utility>

#include "graph/status_macros.h"
#include "tools/server/api_error.h"
#include "tools/server/http_exchange.h"
#include "tools/server/http_listen.h"
#include "tools/server/http_loop.h"

namespace sluice::server {
namespace {

using std::chrono::milliseconds;

class Server final : public HttpServer {
 public:
  Server(HttpOptions options, std::vector<Route> routes, const ListeningSocket& listening)
      : port_(listening.port),
        shared_(std::move(options), std::move(routes)),
        loop_(shared_, listening.socket) {}

  absl::Status Open() { return loop_.Open(); }
  int port() const override { return port_; }
  void Run() override { loop_.Run(); }
  void Stop() override { loop_.Stop(); }
  bool AwaitNoCalls(milliseconds timeout) override { return loop_.AwaitNoCalls(timeout); }
  void Abort() override { loop_.Abort(); }

 private:
  const int port_;
  HttpShared shared_;
  HttpLoop loop_;
};

}  // namespace

HttpReply ErrorReply(HttpCall& call, const absl::Status& status) {
  call.record.outcome = std::string(status.message());
  return {.status = HttpCodeOf(status), .body = ErrorBody(status)};
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Listen(HttpOptions options,
                                                               std::vector<Route> routes) {
  SLUICE_RETURN_IF_ERROR(CheckHttpOptions(options));
  SLUICE_ASSIGN_OR_RETURN(const ListeningSocket listening, ListenOn(options.host, options.port));
  auto server = std::make_unique<Server>(std::move(options), std::move(routes), listening);
  SLUICE_RETURN_IF_ERROR(server->Open());
  return server;
}

}  // namespace sluice::server
