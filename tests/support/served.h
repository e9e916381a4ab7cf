// A server with a model, and clients of it, for tests over sockets.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backends/cpu/cpu_backend.h"
#include "models/model.h"
#include "tests/support/model_file.h"
#include "tests/support/wire.h"
#include "tools/engine/session.h"
#include "tools/server/api_server.h"
#include "tools/server/json_fields.h"

namespace sluice::server {

// Tokens in the context of Served's decoder.
inline constexpr int64_t kContext = 128;

// A model and what runs it.
struct LoadedModel {
  std::unique_ptr<Model> model;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Session> session;
};

inline LoadedModel Load(std::unique_ptr<Model> model, int64_t parallel) {
  LoadedModel loaded;
  loaded.model = std::move(model);
  loaded.backend = MakeCpuBackend({.threads = 1});
  const bool is_encoder = loaded.model->config().encoder.has_value();
  DecoderOptions options = {.max_tokens = 64, .max_seqs = parallel, .context = kContext};
  if (is_encoder) options.context = 0;
  auto session =
      tools::OpenSession(*loaded.model, *loaded.backend, options,
                         {.max_outputs = is_encoder ? 64 : parallel, .prepack_bytes = 0});
  EXPECT_TRUE(session.ok()) << session.status();
  loaded.session = *std::move(session);
  return loaded;
}

// A server and a client of it.
class Served {
 public:
  explicit Served(ApiOptions options = {}, bool has_model = true) {
    options.http.port = 0;
    options.running = std::max<int64_t>(options.running, 2);
    options.metrics = true;
    options.log = LogFormat::kJson;
    options.sampling.temperature = 0;
    running_ = options.running;
    auto server = ApiServer::Start(options, log_);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    if (has_model) SetModel();
  }
  ~Served() { End(); }

  void SetModel() {
    loaded_ = Load(*Model::LoadEmbedded(), running_);
    auto model = std::make_unique<ServedModel>();
    model->id = "stories";
    model->tokenizer = *loaded_.model->tokenizer();
    model->chat_template = *ChatTemplate::Load(loaded_.model->file());
    model->thread = std::make_unique<ModelThread>(*loaded_.session, SchedulerOptions{});
    server_->SetModel(std::move(model));
  }
  void SetEncoder() {
    ModelFiles files;
    files.push_back(ModelFile::Bert(2).RandomWeights().Open());
    loaded_ = Load(*Model::FromFiles(std::move(files)), 2);
    auto model = std::make_unique<ServedModel>();
    model->id = "bert";
    model->tokenizer = *loaded_.model->tokenizer();
    model->embedder = *Embedder::Create(*loaded_.session);
    server_->SetModel(std::move(model));
  }
  // Ends the server: only then is its log complete.
  std::string End() {
    server_ = nullptr;
    return log_.str();
  }
  ApiServer& server() { return *server_; }

  httplib::Client Client() const {
    httplib::Client client("127.0.0.1", server_->port());
    client.set_read_timeout(120);
    return client;
  }
  httplib::Result Get(const std::string& path) const { return Client().Get(path); }
  httplib::Result Post(const std::string& path, const Json& body) const {
    return Client().Post(path, body.dump(), "application/json");
  }
  // The body of what succeeds.
  Json Ask(const std::string& path, const Json& body) const {
    const httplib::Result result = Post(path, body);
    EXPECT_EQ(result->status, 200) << result->body;
    return Json::parse(result->body);
  }
  Json State() const { return Json::parse(Get("/state")->body); }
  // Waits until `holds` of the state.
  void Await(const std::function<bool(const Json&)>& holds) const {
    for (int i = 0; i < 6000; ++i) {
      if (holds(State())) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    FAIL() << State().dump();
  }
  void AwaitNoPlacesTaken() const {
    Await([](const Json& state) { return state["places"]["taken"] == 0; });
  }

 private:
  int64_t running_ = 2;
  std::ostringstream log_;
  LoadedModel loaded_;
  std::unique_ptr<ApiServer> server_;
};

inline Json Error(const httplib::Result& result) { return Json::parse(result->body)["error"]; }

inline void ExpectError(const httplib::Result& result, int status, const std::string& message) {
  ASSERT_TRUE(result);
  EXPECT_EQ(result->status, status);
  EXPECT_FALSE(Error(result)["code"].is_number()) << "a word, or null";
  EXPECT_THAT(Error(result)["message"].get<std::string>(), testing::HasSubstr(message));
}

// An answer that takes until the context is full; with the embedded model at least a moment.
inline Json Long(bool stream) {
  return {{"prompt", "Once"}, {"max_tokens", 100}, {"stream", stream}, {"temperature", 2}};
}

}  // namespace sluice::server
