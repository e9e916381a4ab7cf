#include "tools/server/http_exchange.h"

#include <ctime>
#include <exception>
#include <iterator>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "models/unicode/printable.h"
#include "tools/server/api_error.h"
#include "tools/server/http_reply_head.h"

namespace sluice::server {
namespace {

using Clock = HttpConnection::Clock;

constexpr absl::string_view kFailed = "the server failed to answer";
constexpr int kLengthRequired = 411;
constexpr size_t kMostMethod = 16;  // bytes in the log

}  // namespace

HttpShared::HttpShared(HttpOptions http_options, std::vector<Route> http_routes)
    : options(std::move(http_options)),
      routes(std::move(http_routes)),
      gate(options, routes),
      id_base(std::random_device()()) {}

HttpExchange::HttpExchange(HttpShared& shared, HttpConnection& connection)
    : shared_(shared), connection_(connection), begin_(Clock::now()) {
  record.id = absl::StrCat(absl::Hex(shared.id_base, absl::kZeroPad8),
                           absl::Hex(++shared.last_id, absl::kZeroPad8));
}

bool HttpExchange::IsClientGone() const {
  return connection_.IsPeerGone() || shared_.abort.is_set();
}

HttpExchange::State HttpExchange::Take(absl::string_view* bytes) {
  if (state_ == State::kBlank || state_ == State::kHead) {
    switch (reader_.Take(bytes)) {
      case HttpHeadReader::State::kBlank:
        return state_;
      case HttpHeadReader::State::kOpen:
        state_ = State::kHead;
        return state_;
      case HttpHeadReader::State::kRefused:
        return RefuseWith(reader_.refusal());
      case HttpHeadReader::State::kWhole:
        if (TakeHead() != State::kBody) return state_;
    }
  }
  if (state_ != State::kBody) return state_;
  const HttpBodyReader::State body = body_reader_->Take(bytes, &text_);
  if (body == HttpBodyReader::State::kRefused) return RefuseWith(body_reader_->refusal());
  if (body == HttpBodyReader::State::kWhole) state_ = State::kWhole;
  return state_;
}

HttpExchange::State HttpExchange::TakeHead() {
  const HttpHead& head = reader_.head();
  verdict_ = shared_.gate.Judge(head);
  record.path = verdict_.path;
  if (verdict_.refusal.status != 0) return RefuseWith(verdict_.refusal);
  body_reader_.emplace(head, static_cast<uint64_t>(shared_.options.most_body_bytes));
  state_ = State::kBody;
  return state_;
}

HttpExchange::State HttpExchange::RefuseWith(Refusal refusal) {
  refusal_ = std::move(refusal);
  // A body that nobody reads, or a head that nobody could, has no end that is known.
  // One without a length may be there, too.
  ends_connection_ = reader_.refusal().status != 0 || reader_.head().has_body() ||
                     refusal_.status == kLengthRequired;
  state_ = State::kRefused;
  return state_;
}

bool HttpExchange::AwaitsContinue() const {
  return state_ == State::kBody && reader_.head().expects_continue && text_.empty();
}

void HttpExchange::Answer() {
  Write(Run());
  Tell();
}

void HttpExchange::Refuse(Refusal refusal) {
  RefuseWith(std::move(refusal));
  ends_connection_ = true;
  Refuse();
}

void HttpExchange::Refuse() {
  record.outcome = refusal_.message;
  Write({.status = refusal_.status, .body = ErrorBody(refusal_.status, refusal_.message)});
  Tell();
}

HttpReply HttpExchange::Run() {
  if (verdict_.route == nullptr) return {.status = 204, .content_type = ""};
  try {
    return verdict_.route->handle(*this);
  } catch (const std::exception&) {
    // Out of memory, say: the other calls go on.
    record.outcome = std::string(kFailed);
    return {.status = 500, .body = ErrorBody(500, record.outcome)};
  }
}

void HttpExchange::Write(HttpReply reply) {
  const HttpHead& head = reader_.head();
  record.status = reply.status;
  record.method = Printable(head.method, kMostMethod);
  ends_connection_ |= !head.keeps_alive || shared_.is_stopped;
  HttpReplyHead text = {
      .status = reply.status,
      .minor_version = head.minor_version,
      .idle_seconds =
          std::chrono::duration_cast<std::chrono::seconds>(shared_.options.idle_timeout).count()};
  if (!reply.content_type.empty()) text.fields.emplace_back("Content-Type", reply.content_type);
  text.fields.emplace_back("X-Request-Id", record.id);
  if (reply.status == 429 || reply.status == 503) text.fields.emplace_back("Retry-After", "1");
  if (reply.stream) text.fields.emplace_back("Cache-Control", "no-cache");
  for (auto* fields : {&verdict_.headers, &reply.headers}) {
    std::move(fields->begin(), fields->end(), std::back_inserter(text.fields));
  }
  if (!reply.stream) {
    text.length = reply.body.size();
  } else if (head.minor_version == 0) {
    ends_connection_ = true;  // where the body ends
  }
  text.keeps_alive = !ends_connection_;
  std::string bytes = text.Text(std::time(nullptr));
  if (reply.stream) return WriteStream(reply, bytes);
  if (head.method != "HEAD") bytes += reply.body;
  connection_.Send(bytes);
}

void HttpExchange::WriteStream(const HttpReply& reply, absl::string_view head) {
  const bool is_chunked = reader_.head().minor_version >= 1;
  const auto send = [this](absl::string_view bytes) {
    return connection_.SendAll(bytes, shared_.options.write_timeout, shared_.abort);
  };
  if (!send(head) || reader_.head().method == "HEAD") return;
  try {
    reply.stream([&](absl::string_view part) {
      if (part.empty() || connection_.is_broken()) return !connection_.is_broken();
      return send(is_chunked ? Chunk(part) : std::string(part));
    });
  } catch (const std::exception&) {
    record.outcome = std::string(kFailed);
    connection_.Break();
  }
  if (is_chunked && !connection_.is_broken()) send(kLastChunk);
}

void HttpExchange::Tell() {
  record.seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
  if (shared_.options.on_done) shared_.options.on_done(record);
}

}  // namespace sluice::server
