#include "tools/server/api_server.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "tools/pages/assets.h"
#include "tools/server/api_error.h"
#include "tools/server/responses.h"
#include "tools/server/text_routes.h"

namespace sluice::server {
namespace {

using OrderedJson = nlohmann::ordered_json;
using std::chrono::milliseconds;

// What a thread needs that is not at work on an answer: health checks, refusals, slow senders.
constexpr int64_t kSpareThreads = 32;

ModelEntry EntryOf(const ServedModel& model) {
  return {.id = model.id,
          .created = model.created,
          .context = model.context(),
          .trained_context = model.trained_context,
          .vocabulary = model.tokenizer->size()};
}

HttpReply Models(HttpCall&, const ServedModel& model) {
  return {.body = ModelsBody(EntryOf(model))};
}

HttpReply OneModel(HttpCall& call, const ServedModel& model) {
  if (call.rest() != model.id) return ErrorReply(call, NoSuchModel(call.rest(), model.id));
  return {.body = ModelBody(EntryOf(model))};
}

OrderedJson ThreadJson(const ModelThreadState& s) {
  return {{"running", s.running},
          {"waiting", s.waiting},
          {"max_running", s.max_running},
          {"max_context", s.max_context},
          {"tokens_per_second", s.tokens_per_second},
          {"counters",
           {{"steps", s.counters.steps},
            {"tokens", s.counters.tokens},
            {"generated", s.counters.generated},
            {"drafted", s.counters.drafted},
            {"accepted", s.counters.accepted},
            {"preemptions", s.counters.preemptions}}},
          {"prefix_cache",
           {{"hits", s.prefix_cache.hits},
            {"misses", s.prefix_cache.misses},
            {"saved_tokens", s.prefix_cache.saved_tokens},
            {"evictions", s.prefix_cache.evictions},
            {"blocks", s.known_blocks}}},
          {"cache", {{"blocks", s.blocks}, {"free", s.free_blocks}, {"idle", s.idle_blocks}}}};
}

// Times the next steps, as long as the client waits for them.
HttpReply Profile(HttpCall& call, const ServedModel& model) {
  constexpr int64_t kSteps = 32;
  constexpr std::chrono::seconds kPatience(3);
  if (model.thread == nullptr) {
    return ErrorReply(call, absl::InvalidArgumentError("an encoder's steps are not profiled"));
  }
  const StepProfile profile = model.thread->Profile(kSteps, kPatience);
  OrderedJson ops = OrderedJson::array();
  for (const OpTime& op : profile.ops) {
    ops.push_back(
        {{"op", op.op}, {"seconds", op.seconds}, {"calls", op.calls}, {"kernels", op.kernels}});
  }
  return {
      .body =
          OrderedJson{{"steps", profile.steps}, {"tokens", profile.tokens}, {"ops", ops}}.dump()};
}

}  // namespace

ApiServer::ApiServer(ApiOptions options, std::ostream& log)
    : options_(std::move(options)),
      defaults_{options_.sampling, options_.running + options_.waiting},
      log_(options_.log, log),
      admission_(defaults_.max_choices) {}

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Start(ApiOptions options, std::ostream& log) {
  std::unique_ptr<ApiServer> server(new ApiServer(std::move(options), log));
  if (absl::Status status = server->Listen(); !status.ok()) return status;
  return server;
}

absl::Status ApiServer::Listen() {
  HttpOptions http = options_.http;
  // Each answer at work may hold the thread of a connection.
  http.threads = static_cast<int>(defaults_.max_choices + kSpareThreads);
  http.on_done = [this](const CallRecord& record) {
    metrics_.Count(record);
    log_.Write(record);
  };
  absl::StatusOr<std::unique_ptr<HttpServer>> listening =
      HttpServer::Listen(std::move(http), Routes());
  if (!listening.ok()) return listening.status();
  http_ = *std::move(listening);
  listener_ = std::thread([this] { http_->Run(); });
  return absl::OkStatus();
}

ApiServer::~ApiServer() {
  if (listener_.joinable()) Shutdown(milliseconds(0));
}

void ApiServer::SetModel(std::unique_ptr<ServedModel> model) {
  model_ = std::move(model);
  ready_ = model_.get();
}

void ApiServer::Shutdown(milliseconds timeout) {
  constexpr milliseconds kLastWords(1000);
  ending_ = true;
  http_->Stop();
  if (!http_->AwaitNoCalls(timeout)) {
    const ServedModel* const model = ready_;
    if (model != nullptr && model->thread != nullptr) model->thread->Close();
    http_->AwaitNoCalls(kLastWords);
  }
  http_->Abort();
  listener_.join();
}

Route ApiServer::WithModel(std::string method, std::string path,
                           std::function<HttpReply(HttpCall&, const ServedModel&)> handle) {
  return {std::move(method), std::move(path), [this, handle = std::move(handle)](HttpCall& call) {
            const ServedModel* const model = ready_;
            if (model != nullptr) return handle(call, *model);
            return ErrorReply(call, absl::UnavailableError("the model is being loaded"));
          }};
}

Route ApiServer::WithBody(
    std::string path, FieldObjects object,
    std::function<HttpReply(HttpCall&, const Json&, const ServedModel&)> handle) {
  return WithModel(
      "POST", std::move(path),
      [this, object, handle = std::move(handle)](HttpCall& call, const ServedModel& model) {
        const absl::StatusOr<Json> body = ReadBody(call, object);
        HttpReply reply = body.ok() ? handle(call, *body, model) : ErrorReply(call, body.status());
        if (!call.record.warning.empty()) {
          reply.headers.emplace_back("X-Sluice-Warning", call.record.warning);
        }
        return reply;
      });
}

absl::StatusOr<Json> ApiServer::ReadBody(HttpCall& call, FieldObjects object) const {
  SLUICE_ASSIGN_OR_RETURN(Json body, ParseObject(call.body()));
  SLUICE_ASSIGN_OR_RETURN(const UnknownFields unknown, CheckFields(body, object));
  if (unknown.first.empty()) return body;
  if (options_.refuses_unknown_fields) {
    return FieldError(unknown.first,
                      absl::StrCat(unknown.text, ": expected none (--unknown-fields)"),
                      "unknown_parameter");
  }
  call.record.warning = unknown.text;
  return body;
}

std::vector<Route> ApiServer::Routes() {
  const GenerationContext context = {defaults_, options_.limits, admission_};
  const auto complete = [context](HttpCall& call, const Json& body, const ServedModel& model) {
    return Complete(call, body, model, context);
  };
  const auto chat = [context](HttpCall& call, const Json& body, const ServedModel& model) {
    return Chat(call, body, model, context);
  };
  std::vector<Route> routes = {
      {"GET", "/",
       [](HttpCall&) {
         // No page of others has it inside, where it could be clicked at unseen.
         return HttpReply{.content_type = "text/html; charset=utf-8",
                          .body = ServePage(),
                          .headers = {{"Content-Security-Policy", "frame-ancestors 'none'"}}};
       }},
      {"GET", "/health", [this](HttpCall&) { return Health(); }, /*is_open=*/true},
      {"GET", "/state", [this](HttpCall&) { return State(); }},
      WithModel("GET", "/profile", Profile),
      WithBody("/tokenize", kTokenizeBody, Tokenize),
      WithBody("/detokenize", kDetokenizeBody, Detokenize),
  };
  for (const std::string prefix : {"/v1", ""}) {
    routes.push_back(WithModel("GET", prefix + "/models", Models));
    routes.push_back(WithModel("GET", prefix + "/models/*", OneModel));
    routes.push_back(WithBody(prefix + "/completions", kCompletionBody, complete));
    routes.push_back(WithBody(prefix + "/chat/completions", kChatBody, chat));
    routes.push_back(WithBody(prefix + "/embeddings", kEmbeddingBody, Embed));
  }
  if (options_.metrics) {
    routes.push_back({"GET", "/metrics", [this](HttpCall&) {
                        const ServedModel* const model = ready_;
                        const bool has_thread = model != nullptr && model->thread != nullptr;
                        const ModelThreadState state =
                            has_thread ? model->thread->state() : ModelThreadState();
                        return HttpReply{.content_type = "text/plain; version=0.0.4",
                                         .body = metrics_.Text(has_thread ? &state : nullptr,
                                                               admission_.taken())};
                      }});
  }
  return routes;
}

std::string ApiServer::StateName() const {
  if (ending_) return "shutting down";
  return ready_ != nullptr ? "ok" : "loading model";
}

HttpReply ApiServer::Health() const {
  const std::string state = StateName();
  return {.status = state == "ok" ? 200 : 503, .body = OrderedJson{{"status", state}}.dump()};
}

HttpReply ApiServer::State() const {
  const RequestTotals totals = metrics_.totals();
  const double uptime =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  OrderedJson state = {{"status", StateName()},
                       {"uptime_seconds", uptime},
                       {"places", {{"taken", admission_.taken()}, {"of", admission_.capacity()}}},
                       {"requests",
                        {{"answered", totals.requests},
                         {"errors", totals.errors},
                         {"prompt_tokens", totals.prompt_tokens},
                         {"cached_tokens", totals.cached_tokens},
                         {"completion_tokens", totals.completion_tokens}}}};
  if (const ServedModel* const model = ready_; model != nullptr) {
    state["model"] = model->id;
    state["chat"] = model->chat_template.has_value();
    if (model->thread != nullptr) state["engine"] = ThreadJson(model->thread->state());
  }
  return {.body = state.dump(-1, ' ', false, OrderedJson::error_handler_t::replace)};
}

}  // namespace sluice::server
