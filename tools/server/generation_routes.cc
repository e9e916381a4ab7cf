#include "tools/server/generation_routes.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "tools/server/answer_format.h"
#include "tools/server/api_error.h"

namespace sluice::server {
namespace {

using Parts = std::vector<Generation::Part>;

// One call from the request to the end of its answers.
class Answering {
 public:
  Answering(HttpCall& call, const ServedModel& model, const GenerationRequest& request)
      : call_(call),
        request_(request),
        info_{.id = absl::StrCat(request.is_chat ? "chatcmpl-" : "cmpl-", call.record.id),
              .model = model.id,
              .created = std::time(nullptr),
              .is_chat = request.is_chat,
              .has_logprobs = request.wants_logprobs,
              .has_usage = request.include_usage},
        begin_(Clock::now()) {}

  // What fails here gets a status of its own.
  absl::Status Start(const ServedModel& model, const GenerationContext& context);
  HttpReply Whole();
  // Writes the events. Begins at once, whether the answers have a place or wait for one: clients
  // and proxies give up on what is silent. What fails from now on is an event.
  void Stream(const StreamWriter& write);

  bool streams() const { return request_.stream; }

 private:
  using Clock = Generation::Clock;

  absl::StatusOr<Parts> Next(Clock::time_point until = Clock::time_point::max());
  std::string Beginning(std::vector<int64_t>* offsets) const;
  std::string Events(const Generation::Part& part, std::vector<int64_t>* offsets);
  // When a comment is due, if nothing else is written from now on.
  Clock::time_point NextPing() const;
  void Note(const Generation::Part& part);

  HttpCall& call_;
  const GenerationRequest request_;
  const ResponseInfo info_;
  const Clock::time_point begin_;
  Clock::duration ping_ = {};
  std::unique_ptr<Generation> generation_;
  std::string state_ = "waiting for a place";  // that comments tell of
};

absl::Status Answering::Start(const ServedModel& model, const GenerationContext& context) {
  ping_ = request_.ping.has_value() ? Clock::duration(*request_.ping) : context.limits.ping;
  auto generation = Generation::Start(model, request_, context.limits, context.admission);
  if (!generation.ok()) return generation.status();
  generation_ = *std::move(generation);
  return absl::OkStatus();
}

absl::StatusOr<Parts> Answering::Next(Clock::time_point until) {
  absl::StatusOr<Parts> parts = generation_->Next([this] { return !call_.IsClientGone(); }, until);
  call_.record.usage = generation_->usage();
  return parts;
}

void Answering::Note(const Generation::Part& part) {
  if (part.prompt.has_value()) {
    state_ = absl::StrCat("prompt: ", part.prompt->tokens.processed, " of ",
                          part.prompt->tokens.total, " tokens");
    return;
  }
  state_ = "writing";
  if (!call_.record.first_token_seconds.has_value()) {
    call_.record.first_token_seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
  }
  if (part.finish_reason.empty()) return;
  std::string& outcome = call_.record.outcome;
  absl::StrAppend(&outcome, outcome.empty() ? "" : ",", part.finish_reason);
}

HttpReply Answering::Whole() {
  std::vector<FinishedAnswer> answers(generation_->choices());
  for (size_t i = 0; i < answers.size(); ++i) answers[i].all.text = generation_->EchoOf(i);
  while (!generation_->done()) {
    absl::StatusOr<Parts> parts = Next();
    if (!parts.ok()) return ErrorReply(call_, parts.status());
    for (Generation::Part& part : *parts) {
      Note(part);
      FinishedAnswer& answer = answers[part.choice];
      answer.all.text += part.part.text;
      std::move(part.part.logprobs.begin(), part.part.logprobs.end(),
                std::back_inserter(answer.all.logprobs));
      answer.finish_reason = part.finish_reason;
    }
  }
  return {.body = AnswerBody(info_, answers, generation_->usage())};
}

// What stands in front of all parts.
std::string Answering::Beginning(std::vector<int64_t>* offsets) const {
  std::string events;
  for (size_t i = 0; i < offsets->size(); ++i) {
    if (info_.is_chat) events += Event(RoleChunk(info_, i));
    const TextPart echo = {.text = generation_->EchoOf(i)};
    if (!echo.text.empty()) events += Event(PartChunk(info_, i, echo, &(*offsets)[i]));
  }
  return events;
}

std::string Answering::Events(const Generation::Part& part, std::vector<int64_t>* offsets) {
  std::string events;
  if (part.prompt.has_value() && request_.tells_progress) {
    events += Event(ProgressChunk(info_, part.choice, *part.prompt));
  }
  if (!part.part.text.empty() || !part.part.logprobs.empty()) {
    events += Event(PartChunk(info_, part.choice, part.part, &(*offsets)[part.choice]));
  }
  if (!part.finish_reason.empty()) {
    events += Event(EndChunk(info_, part.choice, part.finish_reason));
  }
  return events;
}

Answering::Clock::time_point Answering::NextPing() const {
  return ping_ < Clock::duration::zero() ? Clock::time_point::max() : Clock::now() + ping_;
}

void Answering::Stream(const StreamWriter& write) {
  std::vector<int64_t> offsets(generation_->choices());
  std::string events = Comment("accepted");
  bool is_begun = false;
  Clock::time_point ping = NextPing();
  while (!generation_->done()) {
    if (!events.empty()) {
      if (!write(events)) {
        call_.record.outcome = "the client is gone";
        return;
      }
      events.clear();
      ping = NextPing();
    }
    absl::StatusOr<Parts> parts = Next(ping);
    if (!parts.ok()) {
      call_.record.outcome = std::string(parts.status().message());
      write(Event(ErrorBody(parts.status())));
      return;
    }
    if (parts->empty()) events = Comment(state_);
    for (const Generation::Part& part : *parts) {
      Note(part);
      const std::string of_part = Events(part, &offsets);
      if (of_part.empty()) continue;
      if (!std::exchange(is_begun, true)) events += Beginning(&offsets);
      events += of_part;
    }
  }
  if (request_.include_usage) events += Event(UsageChunk(info_, generation_->usage()));
  write(events + Event("[DONE]"));
}

HttpReply Answer(HttpCall& call, const ServedModel& model,
                 const absl::StatusOr<GenerationRequest>& request,
                 const GenerationContext& context) {
  if (!request.ok()) return ErrorReply(call, request.status());
  auto answering = std::make_shared<Answering>(call, model, *request);
  if (const absl::Status status = answering->Start(model, context); !status.ok()) {
    return ErrorReply(call, status);
  }
  if (!answering->streams()) return answering->Whole();
  return {.content_type = "text/event-stream",
          .stream = [answering](const StreamWriter& write) { answering->Stream(write); }};
}

absl::StatusOr<GenerationRequest> Parse(
    const HttpCall& call, const Json& body, const RequestDefaults& defaults,
    absl::StatusOr<GenerationRequest> (*parse)(const Json&, const RequestDefaults&)) {
  SLUICE_ASSIGN_OR_RETURN(GenerationRequest request, parse(body, defaults));
  SLUICE_ASSIGN_OR_RETURN(request.grammar, ReadAnswerFormat(body, call.body()));
  return request;
}

}  // namespace

HttpReply Complete(HttpCall& call, const Json& body, const ServedModel& model,
                   const GenerationContext& context) {
  return Answer(call, model, Parse(call, body, context.defaults, ParseCompletion), context);
}

HttpReply Chat(HttpCall& call, const Json& body, const ServedModel& model,
               const GenerationContext& context) {
  return Answer(call, model, Parse(call, body, context.defaults, ParseChat), context);
}

}  // namespace sluice::server
