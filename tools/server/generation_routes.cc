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
        begin_(Generation::Clock::now()) {}

  absl::Status Start(const ServedModel& model, const GenerationContext& context);
  HttpReply Whole();
  // Writes the events.
  void Stream(const StreamWriter& write);

  bool streams() const { return request_.stream; }

 private:
  absl::StatusOr<Parts> Next();
  std::string Events(const Generation::Part& part, std::vector<int64_t>* offsets);
  void Note(const Generation::Part& part);

  HttpCall& call_;
  const GenerationRequest request_;
  const ResponseInfo info_;
  const Generation::Clock::time_point begin_;
  std::unique_ptr<Generation> generation_;
  Parts first_;
};

// Waits for the first tokens, too: what fails until then still gets a status of its own.
absl::Status Answering::Start(const ServedModel& model, const GenerationContext& context) {
  auto generation = Generation::Start(model, request_, context.limits, context.admission);
  if (!generation.ok()) return generation.status();
  generation_ = *std::move(generation);
  absl::StatusOr<Parts> first = Next();
  if (!first.ok()) return first.status();
  first_ = *std::move(first);
  call_.record.first_token_seconds =
      std::chrono::duration<double>(Generation::Clock::now() - begin_).count();
  return absl::OkStatus();
}

absl::StatusOr<Parts> Answering::Next() {
  absl::StatusOr<Parts> parts = generation_->Next([this] { return !call_.IsClientGone(); });
  call_.record.usage = generation_->usage();
  return parts;
}

void Answering::Note(const Generation::Part& part) {
  if (part.finish_reason.empty()) return;
  std::string& outcome = call_.record.outcome;
  absl::StrAppend(&outcome, outcome.empty() ? "" : ",", part.finish_reason);
}

HttpReply Answering::Whole() {
  std::vector<FinishedAnswer> answers(generation_->choices());
  for (size_t i = 0; i < answers.size(); ++i) answers[i].all.text = generation_->EchoOf(i);
  absl::StatusOr<Parts> parts = std::move(first_);
  while (true) {
    if (!parts.ok()) return ErrorReply(call_, parts.status());
    for (Generation::Part& part : *parts) {
      Note(part);
      FinishedAnswer& answer = answers[part.choice];
      answer.all.text += part.part.text;
      std::move(part.part.logprobs.begin(), part.part.logprobs.end(),
                std::back_inserter(answer.all.logprobs));
      answer.finish_reason = part.finish_reason;
    }
    if (generation_->done()) return {.body = AnswerBody(info_, answers, generation_->usage())};
    parts = Next();
  }
}

std::string Answering::Events(const Generation::Part& part, std::vector<int64_t>* offsets) {
  std::string events;
  if (!part.part.text.empty() || !part.part.logprobs.empty()) {
    events += Event(PartChunk(info_, part.choice, part.part, &(*offsets)[part.choice]));
  }
  if (!part.finish_reason.empty()) {
    events += Event(EndChunk(info_, part.choice, part.finish_reason));
  }
  return events;
}

void Answering::Stream(const StreamWriter& write) {
  std::vector<int64_t> offsets(generation_->choices());
  std::string events;
  for (size_t i = 0; i < offsets.size(); ++i) {
    if (info_.is_chat) events += Event(RoleChunk(info_, i));
    const TextPart echo = {.text = generation_->EchoOf(i)};
    if (!echo.text.empty()) events += Event(PartChunk(info_, i, echo, &offsets[i]));
  }
  absl::StatusOr<Parts> parts = std::move(first_);
  while (true) {
    if (!parts.ok()) {
      call_.record.outcome = std::string(parts.status().message());
      write(Event(ErrorBody(parts.status())));
      return;
    }
    for (const Generation::Part& part : *parts) {
      Note(part);
      events += Events(part, &offsets);
    }
    if (generation_->done()) break;
    if (!write(events)) {
      call_.record.outcome = "the client is gone";
      return;
    }
    events.clear();
    parts = Next();
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
    const HttpCall& call, const RequestDefaults& defaults,
    absl::StatusOr<GenerationRequest> (*parse)(const Json&, const RequestDefaults&)) {
  SLUICE_ASSIGN_OR_RETURN(const Json body, ParseObject(call.body()));
  SLUICE_ASSIGN_OR_RETURN(GenerationRequest request, parse(body, defaults));
  SLUICE_ASSIGN_OR_RETURN(request.grammar, ReadAnswerFormat(body, call.body()));
  return request;
}

}  // namespace

HttpReply Complete(HttpCall& call, const ServedModel& model, const GenerationContext& context) {
  return Answer(call, model, Parse(call, context.defaults, ParseCompletion), context);
}

HttpReply Chat(HttpCall& call, const ServedModel& model, const GenerationContext& context) {
  return Answer(call, model, Parse(call, context.defaults, ParseChat), context);
}

}  // namespace sluice::server
