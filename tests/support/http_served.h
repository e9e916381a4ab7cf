// A server without a model, for tests of HTTP itself.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/wire.h"
#include "tools/server/http_server.h"

namespace sluice::server {

class HttpServed {
 public:
  explicit HttpServed(HttpOptions options = {}) : HttpServed(std::move(options), {}) {}
  HttpServed(HttpOptions options, std::vector<Route> more) {
    options.port = 0;
    options.on_done = [this](const CallRecord& record) {
      const std::lock_guard lock(mutex_);
      records_.push_back(record);
    };
    std::vector<Route> routes = {
        {"GET", "/health", [](HttpCall&) { return HttpReply{.body = "ok"}; }, /*is_open=*/true},
        {"GET", "/",
         [](HttpCall&) { return HttpReply{.content_type = "text/html", .body = "page"}; }},
        {"POST", "/echo", [](HttpCall& call) { return HttpReply{.body = call.body()}; }},
        {"POST", "/stream",
         [](HttpCall&) {
           return HttpReply{.content_type = "text/event-stream", .stream = [](const auto& write) {
                              for (const char* part : {"one", "", "two"}) write(part);
                            }};
         }},
    };
    for (Route& route : more) routes.push_back(std::move(route));
    auto server = HttpServer::Listen(std::move(options), std::move(routes));
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    thread_ = std::thread([this] { server_->Run(); });
  }
  ~HttpServed() { End(); }
  HttpServed(const HttpServed&) = delete;
  HttpServed& operator=(const HttpServed&) = delete;

  HttpServer& server() { return *server_; }
  int port() const { return server_->port(); }
  // What one connection hears if it says that.
  std::string Ask(absl::string_view text) const {
    Wire wire(port());
    wire.Try(text);
    return wire.Hear();
  }
  void End() {
    if (!thread_.joinable()) return;
    server_->Abort();
    thread_.join();
  }
  std::vector<CallRecord> records() const {
    const std::lock_guard lock(mutex_);
    return records_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<CallRecord> records_;  // guarded by mutex_
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

}  // namespace sluice::server
