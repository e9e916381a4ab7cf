// The server: routes, and the order of its life. It listens first, gets its model later, and ends
// answers before it ends itself.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <ostream>
#include <thread>

#include "absl/status/statusor.h"
#include "tools/server/generation_routes.h"
#include "tools/server/http_server.h"
#include "tools/server/metrics.h"
#include "tools/server/request_fields.h"
#include "tools/server/request_log.h"
#include "tools/server/served_model.h"

namespace sluice::server {

struct ApiOptions {
  HttpOptions http;  // but on_done and threads, which the server sets
  GenerationLimits limits;
  SamplerOptions sampling;  // for requests that do not say
  int64_t running = 1;      // answers at once
  int64_t waiting = 64;     // answers beyond them
  bool metrics = false;     // serves /metrics
  bool refuses_unknown_fields = false;
  LogFormat log = LogFormat::kNone;
};

class ApiServer {
 public:
  // Listens. Routes that need a model answer 503 until there is one. `log` outlives the server.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Start(ApiOptions options, std::ostream& log);
  // Shuts down at once, unless that has happened.
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  int port() const { return http_->port(); }
  // The model from now on. Once.
  void SetModel(std::unique_ptr<ServedModel> model);
  // Takes no more requests, gives those at work so long to end, and cancels them then.
  void Shutdown(std::chrono::milliseconds timeout);

 private:
  ApiServer(ApiOptions options, std::ostream& log);
  absl::Status Listen();
  std::vector<Route> Routes();
  // A route that needs the model.
  Route WithModel(std::string method, std::string path,
                  std::function<HttpReply(HttpCall&, const ServedModel&)> handle);
  // One that takes a body, whose fields are those of `object`.
  Route WithBody(std::string path, FieldObjects object,
                 std::function<HttpReply(HttpCall&, const Json&, const ServedModel&)> handle);
  absl::StatusOr<Json> ReadBody(HttpCall& call, FieldObjects object) const;
  HttpReply Health() const;
  HttpReply State() const;
  std::string StateName() const;

  const ApiOptions options_;
  const RequestDefaults defaults_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  RequestLog log_;
  Metrics metrics_;
  Admission admission_;
  std::unique_ptr<ServedModel> model_;
  std::atomic<const ServedModel*> ready_ = nullptr;  // model_ once it can be used
  std::atomic<bool> ending_ = false;
  std::unique_ptr<HttpServer> http_;
  std::thread listener_;
};

}  // namespace sluice::server
