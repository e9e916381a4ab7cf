#include "tools/load/completion_client.h"

#include <httplib.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tools/load/sse_reader.h"

namespace sluice::load {
namespace {

using Json = nlohmann::json;

std::string BodyOf(const CompletionRequest& request) {
  return Json{{"prompt", request.prompt},
              {"max_tokens", request.max_tokens},
              {"temperature", request.temperature},
              {"ignore_eos", request.ignores_end},
              {"stream", true},
              {"stream_options", {{"include_usage", true}}}}
      .dump();
}

// What a stream says, event by event.
class StreamReader {
 public:
  StreamReader(const CompletionRequest& request, Completion* completion)
      : request_(request), completion_(*completion), begin_(Clock::now()) {}

  // False: break off.
  bool Take(absl::string_view bytes) {
    return sse_.Feed(bytes, [this](absl::string_view data) { return TakeEvent(data); });
  }

  double Seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

  // What the stream lacks, when it is over.
  absl::Status Finish() const {
    if (!error_.ok() || completion_.aborted) return error_;
    if (!done_) return absl::DataLossError("the stream ended without [DONE]");
    if (!ended_) return absl::DataLossError("no choice has a finish_reason");
    if (!counted_) return absl::DataLossError("the stream has no usage");
    return absl::OkStatus();
  }

 private:
  bool TakeEvent(absl::string_view data) {
    if (data == "[DONE]") {
      done_ = true;
      return true;
    }
    const Json event = Json::parse(data.begin(), data.end(), nullptr, false);
    if (!event.is_object()) return Fail(absl::StrCat("an event is no JSON object: ", data));
    if (event.contains("error")) return Fail(event["error"].dump());
    if (event.contains("usage") && event["usage"].is_object()) TakeUsage(event["usage"]);
    const Json choices = event.value("choices", Json::array());
    if (choices.empty()) return true;
    if (choices[0].contains("finish_reason")) ended_ |= choices[0]["finish_reason"].is_string();
    return choices[0].value("text", "").empty() || TakeText();
  }

  bool TakeText() {
    const double now = Seconds();
    if (pieces_++ == 0) {
      completion_.first = now;
    } else {
      completion_.gaps.push_back(now - last_);
    }
    last_ = now;
    completion_.aborted = pieces_ == request_.abort_after;
    if (request_.pause.count() > 0) std::this_thread::sleep_for(request_.pause);
    return !completion_.aborted;
  }

  void TakeUsage(const Json& usage) {
    counted_ = true;
    completion_.prompt_tokens = usage.value("prompt_tokens", int64_t{0});
    completion_.tokens = usage.value("completion_tokens", int64_t{0});
    const Json details = usage.value("prompt_tokens_details", Json::object());
    completion_.cached_tokens =
        details.is_object() ? details.value("cached_tokens", int64_t{0}) : 0;
  }

  bool Fail(const std::string& what) {
    error_ = absl::DataLossError(what);
    return false;
  }

  const CompletionRequest& request_;
  Completion& completion_;
  const Clock::time_point begin_;
  SseReader sse_;
  int64_t pieces_ = 0;
  double last_ = 0;
  bool done_ = false, ended_ = false, counted_ = false;
  absl::Status error_;
};

absl::Status NoAnswer(const Endpoint& endpoint, httplib::Error error) {
  return absl::UnavailableError(
      absl::StrCat("no answer from ", endpoint.url, ": ", httplib::to_string(error)));
}

}  // namespace

struct CompletionClient::Connection {
  explicit Connection(const Endpoint& endpoint) : http(endpoint.url) {
    http.set_keep_alive(true);
    http.set_tcp_nodelay(true);
    http.set_read_timeout(endpoint.timeout);
    http.set_write_timeout(endpoint.timeout);
    if (!endpoint.api_key.empty()) http.set_bearer_token_auth(endpoint.api_key.c_str());
  }
  httplib::Client http;
};

CompletionClient::CompletionClient(const Endpoint& endpoint)
    : endpoint_(endpoint), connection_(std::make_unique<Connection>(endpoint)) {}
CompletionClient::~CompletionClient() = default;

Completion CompletionClient::Run(const CompletionRequest& request) {
  Completion completion;
  StreamReader reader(request, &completion);
  std::string error_body;
  httplib::Request http;
  http.method = "POST";
  http.path = "/v1/completions";
  http.body = BodyOf(request);
  http.set_header("Content-Type", "application/json");
  http.response_handler = [&](const httplib::Response& response) {
    completion.http_code = response.status;
    return true;
  };
  http.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
    if (completion.http_code == 200) return reader.Take({data, size});
    error_body.append(data, size);
    return true;
  };
  const httplib::Result result = connection_->http.send(http);
  completion.total = reader.Seconds();
  if (completion.http_code == 0) {
    completion.status = NoAnswer(endpoint_, result.error());
  } else if (completion.http_code != 200) {
    completion.status =
        absl::UnknownError(absl::StrCat("HTTP ", completion.http_code, ": ", error_body));
  } else {
    completion.status = reader.Finish();
  }
  return completion;
}

absl::StatusOr<CompletionClient::Reply> CompletionClient::Post(const std::string& path,
                                                               const std::string& body) {
  const httplib::Result result = connection_->http.Post(path, body, "application/json");
  if (!result) return NoAnswer(endpoint_, result.error());
  return Reply{result->status, result->body};
}

absl::StatusOr<CompletionClient::Reply> CompletionClient::Get(const std::string& path) {
  const httplib::Result result = connection_->http.Get(path);
  if (!result) return NoAnswer(endpoint_, result.error());
  return Reply{result->status, result->body};
}

}  // namespace sluice::load
