#include "tools/server/generation.h"

#include <algorithm>
#include <optional>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "runtime/constraint/grammar_filter.h"
#include "runtime/logprobs.h"
#include "tools/server/api_error.h"

namespace sluice::server {
namespace {

// How long a client that is gone may go unnoticed while nothing is generated for it.
constexpr auto kPatience = std::chrono::milliseconds(200);

// What belongs to one choice on the model's thread.
struct Choice {
  size_t index;
  const Tokenizer& tokenizer;
  int64_t top_logprobs;
  TextStream stream;
  std::shared_ptr<AnswerChannel> channel;
  std::shared_ptr<Admission::Ticket> ticket;
  std::optional<AnswerChannel::Clock::time_point> begin;  // of its prompt

  void OnPrompt(const PromptProgress& progress);
  void OnLogits(TokenId token, absl::Span<const float> logits);
  bool OnToken(TokenId token);
  void OnFinish(const RequestResult& result);
};

void Choice::OnPrompt(const PromptProgress& progress) {
  const auto now = AnswerChannel::Clock::now();
  if (!begin.has_value()) begin = now;
  const double seconds = std::chrono::duration<double>(now - *begin).count();
  channel->Push({.choice = index, .prompt = PromptTimes{progress, seconds}});
}

void Choice::OnLogits(TokenId token, absl::Span<const float> logits) {
  const Logprobs logprobs(logits);
  LogprobEntry entry = {.text = tokenizer.Piece(token, /*special=*/true),
                        .logprob = logprobs.Of(token)};
  for (const int32_t likely : logprobs.Top(top_logprobs)) {
    entry.top.push_back({tokenizer.Piece(likely, /*special=*/true), logprobs.Of(likely)});
  }
  stream.Expect(std::move(entry));
}

bool Choice::OnToken(TokenId token) {
  TextPart part = stream.Push(token);
  const bool is_empty = part.text.empty() && part.logprobs.empty();
  const bool is_taken = is_empty || channel->Push({.choice = index, .part = std::move(part)});
  return is_taken && !stream.stopped();
}

void Choice::OnFinish(const RequestResult& result) {
  TextPart part = stream.Finish();
  ticket = nullptr;  // its place is free before the client can know
  channel->Push({.choice = index,
                 .part = std::move(part),
                 .end = AnswerEvent::End{result, stream.stopped()}});
}

std::vector<TokenId> TokensOf(const Tokenizer& tokenizer, const Prompt& prompt) {
  if (const auto* tokens = std::get_if<std::vector<int32_t>>(&prompt)) return *tokens;
  return tokenizer.Encode(std::get<std::string>(prompt), {.parse_special = true});
}

// The request was right, so that what ends it at work is not the client's fault.
absl::Status FailureOf(const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) return status;
  return absl::InternalError(status.message());
}

GenerationRequest WithSeed(GenerationRequest request) {
  if (!request.has_seed) request.sampling.seed = std::random_device()();
  return request;
}

std::string TextOf(const Tokenizer& tokenizer, const Prompt& prompt) {
  if (const auto* text = std::get_if<std::string>(&prompt)) return *text;
  return tokenizer.Decode(std::get<std::vector<int32_t>>(prompt), {.special = true});
}

}  // namespace

Generation::Generation(const ServedModel& model, const GenerationRequest& request,
                       const GenerationLimits& limits)
    : model_(model),
      request_(WithSeed(request)),
      limits_(limits),
      deadline_(Clock::now() + limits.timeout),
      per_prompt_(static_cast<size_t>(request.choices)),
      channel_(std::make_shared<AnswerChannel>(limits.buffered_bytes)) {}

Generation::~Generation() {
  if (done()) return;
  for (const int64_t id : ids_) model_.thread->Cancel(id);
}

absl::StatusOr<std::unique_ptr<Generation>> Generation::Start(const ServedModel& model,
                                                              const GenerationRequest& request,
                                                              const GenerationLimits& limits,
                                                              Admission& admission) {
  if (model.thread == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", model.id, "' is an encoder, which writes no text: use /v1/embeddings"));
  }
  if (request.is_chat && !model.chat_template.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", model.id,
                     "' has no chat template that is known: use /v1/completions, or start the "
                     "server with --chat-template"));
  }
  std::unique_ptr<Generation> generation(new Generation(model, request, limits));
  SLUICE_RETURN_IF_ERROR(generation->Submit(admission));
  return generation;
}

absl::StatusOr<std::vector<std::vector<int32_t>>> Generation::Tokenize() const {
  std::vector<std::vector<int32_t>> prompts;
  if (request_.is_chat) {
    prompts.push_back(model_.tokenizer->EncodePieces(
        model_.chat_template->Render(request_.messages, /*invites=*/true)));
  }
  for (const Prompt& prompt : request_.prompts) {
    prompts.push_back(TokensOf(*model_.tokenizer, prompt));
  }
  for (const std::vector<int32_t>& prompt : prompts) {
    SLUICE_RETURN_IF_ERROR(CheckPrompt(prompt));
  }
  SLUICE_RETURN_IF_ERROR(CheckTokens());
  return prompts;
}

absl::Status Generation::CheckPrompt(const std::vector<int32_t>& prompt) const {
  const char* const field = request_.is_chat ? "messages" : "prompt";
  const int64_t context = model_.thread->max_context();
  const auto length = static_cast<int64_t>(prompt.size());
  if (length >= context) {  // an answer needs room for one token
    return FieldError(
        field,
        absl::StrCat("the maximum context length is ", context, " tokens, and your ", field,
                     request_.is_chat ? " have " : " has ", length, " tokens, expected at most ",
                     context - 1, ": shorten it, or start the server with a larger -c"),
        "context_length_exceeded");
  }
  Request request;
  request.prompt = prompt;
  request.options.sampling = request_.sampling;
  const absl::Status status = model_.thread->Check(request);
  return status.ok() ? status : FieldError(field, status.message());
}

// Those that fields other than the prompt name.
absl::Status Generation::CheckTokens() const {
  const auto check = [this](const char* field, int32_t token) {
    const int64_t size = model_.tokenizer->size();
    if (token < size) return absl::OkStatus();
    return FieldError(field, absl::StrCat(field, ": token id ", token, " is not in 0 to ", size - 1,
                                          ", the vocabulary"));
  };
  for (const auto& [token, unused] : request_.sampling.logit_bias) {
    SLUICE_RETURN_IF_ERROR(check("logit_bias", token));
  }
  for (const int32_t token : request_.stop_tokens) {
    SLUICE_RETURN_IF_ERROR(check("stop_token_ids", token));
  }
  return absl::OkStatus();
}

Request Generation::MakeRequest(std::vector<int32_t> prompt, size_t choice,
                                std::shared_ptr<Admission::Ticket> ticket) const {
  Request request;
  request.prompt = std::move(prompt);
  GenerateOptions& options = request.options;
  options.max_tokens = request_.max_tokens.value_or(limits_.max_tokens);
  options.sampling = request_.sampling;
  options.sampling.seed += choice;  // other answers to the same prompt
  auto state = std::make_shared<Choice>(Choice{choice, *model_.tokenizer, request_.top_logprobs,
                                               TextStream(*model_.tokenizer, request_.stops),
                                               channel_, std::move(ticket), std::nullopt});
  options.draft = limits_.draft;
  if (!request_.ignores_end || !request_.stop_tokens.empty()) {
    options.is_end = [state, stops = request_.stop_tokens,
                      ignores = request_.ignores_end](int32_t token) {
      return std::find(stops.begin(), stops.end(), token) != stops.end() ||
             (!ignores && state->tokenizer.IsEndOfGeneration(token));
    };
  }
  if (request_.grammar != nullptr) {
    options.new_filter = [grammar = request_.grammar, trie = model_.trie] {
      return std::make_unique<GrammarFilter>(grammar, trie);
    };
  }
  if (request_.wants_logprobs) {
    options.on_logits = [state](int32_t token, absl::Span<const float> logits) {
      state->OnLogits(token, logits);
    };
  }
  options.on_token = [state](int32_t token) { return state->OnToken(token); };
  if (request_.stream) {
    request.on_prompt = [state](const PromptProgress& progress) { state->OnPrompt(progress); };
  }
  request.on_finish = [state](const RequestResult& result) { state->OnFinish(result); };
  return request;
}

absl::Status Generation::Submit(Admission& admission) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<std::vector<int32_t>> prompts, Tokenize());
  choices_ = prompts.size() * per_prompt_;
  const auto count = static_cast<int64_t>(choices_);
  const std::shared_ptr<Admission::Ticket> ticket = admission.Take(count);
  if (ticket == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the queue is full: ", admission.taken(), " of ", admission.capacity(),
                     " places are taken, and the request needs ", count, "; try again later"));
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    usage_.prompt_tokens += static_cast<int64_t>(prompts[i].size());
    echoes_.push_back(request_.echo ? TextOf(*model_.tokenizer, request_.prompts[i]) : "");
  }
  for (size_t choice = 0; choice < choices_; ++choice) {
    SLUICE_ASSIGN_OR_RETURN(const int64_t id, model_.thread->Submit(MakeRequest(
                                                  prompts[choice / per_prompt_], choice, ticket)));
    ids_.push_back(id);
  }
  return absl::OkStatus();
}

absl::StatusOr<Generation::Part> Generation::Receive(AnswerEvent event) {
  Part part = {event.choice, std::move(event.part), "", event.prompt};
  if (!event.end.has_value()) return part;
  ++finished_;
  const RequestResult& result = event.end->result;
  if (!result.status.ok()) return FailureOf(result.status);
  usage_.completion_tokens += result.generated;
  // Further answers to the same prompt find what the first has left.
  if (event.choice % per_prompt_ == 0) usage_.cached_tokens += result.cached_tokens;
  if (event.end->stopped || result.reason == StopReason::kEndOfGeneration) {
    part.finish_reason = "stop";
  } else if (result.reason != StopReason::kCallback) {
    part.finish_reason = "length";
  } else if (channel_->overflowed()) {
    return absl::ResourceExhaustedError("the client reads its answers too slowly");
  } else {
    return absl::UnavailableError("the server is shutting down");
  }
  return part;
}

absl::StatusOr<std::vector<Generation::Part>> Generation::Next(
    const std::function<bool()>& is_wanted, Clock::time_point until) {
  std::vector<Part> parts;
  while (parts.empty()) {
    if (!is_wanted()) return absl::CancelledError("the client is gone");
    const Clock::time_point now = Clock::now();
    if (now >= until) break;
    if (now >= deadline_) {
      return absl::DeadlineExceededError(absl::StrCat(
          "not finished after ",
          std::chrono::duration_cast<std::chrono::seconds>(limits_.timeout).count(), " seconds"));
    }
    for (AnswerEvent& event : channel_->Take(std::min({deadline_, until, now + kPatience}))) {
      SLUICE_ASSIGN_OR_RETURN(Part part, Receive(std::move(event)));
      parts.push_back(std::move(part));
    }
  }
  return parts;
}

}  // namespace sluice::server
