#include "runtime/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

constexpr size_t kNoRow = static_cast<size_t>(-1);

int64_t AtMost(int64_t wanted, int64_t most) { return wanted <= 0 ? most : std::min(wanted, most); }

}  // namespace

struct Scheduler::Active {
  Active(Request&& from, const StepLimits& limits)
      : request(std::move(from)),
        tokens(std::move(request.prompt)),
        answer(request.options, tokens),
        speculation(request.options.draft) {
    result.prompt_tokens = size();
    const int64_t most = limits.max_context - size();
    const int64_t wanted = request.options.max_tokens;
    const int64_t reserved = size() + (wanted < 0 ? most : std::min(wanted, most));
    tokens.reserve(static_cast<size_t>(reserved));  // so that steps need not
  }

  int64_t size() const { return static_cast<int64_t>(tokens.size()); }
  // All tokens are in the cache, but the logits of the last one are not known.
  bool needs_replay() const { return sequence->length() == size(); }
  // Tokens to run before the next one can be drawn.
  int64_t pending() const { return needs_replay() ? 1 : size() - sequence->length(); }
  // The step that is planned runs the last token.
  bool gets_logits() const { return planned > 0 && planned == pending(); }
  int64_t drafted() const { return static_cast<int64_t>(speculation.draft().size()); }
  // A prompt that is run again, after others took its blocks, is news to nobody.
  void TellProgress(int64_t processed) const {
    if (!request.on_prompt || answer.generated() > 0) return;
    request.on_prompt({result.prompt_tokens, result.cached_tokens, processed});
  }

  Request request;              // but its prompt
  std::vector<int32_t> tokens;  // the prompt and what was generated
  Answer answer;
  Speculation speculation;
  std::unique_ptr<Sequence> sequence;  // nullptr while it waits
  size_t remembered = 0;               // the sequence's first blocks, which the prefix cache has
  int64_t planned = 0;                 // tokens in this step
  size_t row = kNoRow;                 // of this step's logits, its draft's rows come after it
  bool admitted = false;               // at least once
  bool finished = false;
  RequestResult result;
};

Scheduler::Scheduler(StepRunner& runner, const SchedulerOptions& options)
    : runner_(runner), limits_(runner.limits()), options_(options) {
  options_.step_tokens = AtMost(options.step_tokens, limits_.max_tokens);
  options_.prefill_chunk = AtMost(options.prefill_chunk, options_.step_tokens);
  // Every running request may have a token in every step, so that none waits for a place in it.
  options_.max_running = AtMost(
      options.max_running, std::min({limits_.max_seqs, limits_.max_outputs, options_.step_tokens}));
  if (options_.prefix_cache) cache_.emplace(runner.pool(), limits_.block_size);
  step_.reserve(static_cast<size_t>(options_.step_tokens));
  found_.reserve(static_cast<size_t>(limits_.max_context / limits_.block_size));
}

Scheduler::~Scheduler() = default;

absl::Status Scheduler::Check(const Request& request) const {
  SLUICE_RETURN_IF_ERROR(request.options.sampling.Check());
  SLUICE_RETURN_IF_ERROR(request.options.draft.Check());
  return limits_.CheckPrompt(request.prompt);
}

absl::Status Scheduler::CheckQueue(const Request& request) const {
  SLUICE_RETURN_IF_ERROR(Check(request));
  for (const auto& other : requests_) {
    if (other->request.id == request.id) {
      return absl::AlreadyExistsError(
          absl::StrCat("request ", request.id, " is not finished, expected another id"));
    }
  }
  const auto unfinished = static_cast<int64_t>(requests_.size());
  if (options_.max_waiting > 0 && unfinished >= options_.max_running + options_.max_waiting) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the queue is full: ", unfinished, " requests are not finished"));
  }
  return absl::OkStatus();
}

void Scheduler::Add(Request request) {
  if (const absl::Status status = CheckQueue(request); status.ok()) {
    requests_.push_back(std::make_unique<Active>(std::move(request), limits_));
  } else if (request.on_finish) {
    request.on_finish({.status = status});
  }
}

bool Scheduler::Cancel(int64_t id) {
  const auto it = std::find_if(requests_.begin(), requests_.end(),
                               [&](const auto& r) { return r->request.id == id; });
  if (it == requests_.end()) return false;
  Finish(**it, StopReason::kCallback);
  RemoveFinished();
  return true;
}

void Scheduler::Reset() {
  for (const auto& request : requests_) Finish(*request, StopReason::kCallback);
  RemoveFinished();
  if (cache_) cache_->Clear();
}

void Scheduler::Step() {
  EndStopped();
  if (requests_.empty()) return;
  GrowRunning();
  while (AdmitNext()) continue;
  PlanStep();
  FillStep();
  RunStep();
  RemoveFinished();
}

void Scheduler::RunStep() {
  if (step_.empty()) {  // the oldest has all the blocks that there are for requests
    const BlockPool& pool = runner_.pool();
    Active& oldest = *requests_.front();
    return Finish(oldest,
                  absl::ResourceExhaustedError(absl::StrCat(
                      "out of KV cache for a request of ", oldest.size(), " tokens: ", pool.free(),
                      " of ", pool.size(), " blocks are free, and no younger request has any")));
  }
  ++counters_.steps;
  counters_.tokens += static_cast<int64_t>(step_.size());
  const absl::StatusOr<LogitRows> rows = runner_.StepRows(step_, FormOfRows());
  if (!rows.ok()) return FailStep(rows.status());
  TakeResults(*rows);
}

// What suffices to all that take part, those that get no row yet among them: so a device runs
// steps of one form as long as the requests are the same.
RowForm Scheduler::FormOfRows() const {
  const auto end = requests_.begin() + static_cast<ptrdiff_t>(running_);
  const bool wants_whole = std::any_of(requests_.begin(), end, [](const auto& request) {
    return request->planned > 0 && request->answer.row_form() == RowForm::kWhole;
  });
  return wants_whole ? RowForm::kWhole : RowForm::kLikeliest;
}

void Scheduler::EndStopped() {
  for (const auto& request : requests_) {
    if (request->answer.IsStopped()) Finish(*request, StopReason::kCallback);
  }
  RemoveFinished();
}

// Gives a block to each request that has no room for its next token, the oldest first. Where none
// is free, the youngest gives up its own.
void Scheduler::GrowRunning() {
  for (size_t i = 0; i < running_; ++i) {
    Sequence& sequence = *requests_[i]->sequence;
    if (sequence.room() > 0) continue;
    while (runner_.pool().free() == 0 && i + 1 < running_) PreemptYoungest();
    // Without success it keeps what it has and stays out of this step.
    sequence.Claim(sequence.length() + 1).IgnoreError();
  }
}

void Scheduler::PreemptYoungest() {
  requests_[--running_]->sequence.reset();
  ++counters_.preemptions;
}

// The oldest request that waits gets the blocks for all its tokens and one more, or none. One block
// for each that runs must be left, or it would soon be preempted.
bool Scheduler::AdmitNext() {
  if (waiting() == 0 || running() == options_.max_running) return false;
  Active& request = *requests_[running_];
  const BlockPool& pool = runner_.pool();
  // Without room for one more, the last token could not be run again beside its own place.
  const int64_t room = std::min(request.size() + 1, limits_.max_context);
  found_.clear();
  if (cache_) {
    cache_->Find(absl::MakeConstSpan(request.tokens).first(static_cast<size_t>(room - 1)), &found_);
  }
  const int64_t idle = std::count_if(found_.begin(), found_.end(),
                                     [&](int32_t block) { return pool.holders(block) == 0; });
  const int64_t blocks = (room + limits_.block_size - 1) / limits_.block_size;
  const int64_t missing = blocks - static_cast<int64_t>(found_.size());
  if (missing + idle + running() > pool.free()) return false;
  auto sequence = runner_.NewSequence();
  sequence->Adopt(found_);
  if (!sequence->Claim(room).ok()) return false;
  const int64_t saved = std::min(sequence->length(), request.size() - 1);
  if (cache_) cache_->Count(saved);
  const bool is_first = !std::exchange(request.admitted, true);
  if (is_first) request.result.cached_tokens = saved;
  request.remembered = found_.size();
  request.sequence = std::move(sequence);
  ++running_;
  if (is_first) request.TellProgress(saved);
  return true;
}

// First those that generate, then prompts, each by arrival, as far as the step's tokens suffice.
void Scheduler::PlanStep() {
  int64_t left = options_.step_tokens;
  for (const bool is_prompt : {false, true}) {
    for (size_t i = 0; i < running_; ++i) {
      Active& request = *requests_[i];
      if ((request.pending() > 1) != is_prompt) continue;
      request.planned =
          std::min({request.pending(), request.sequence->room(), left, options_.prefill_chunk});
      left -= request.planned;
    }
  }
  PlanDrafts(left);
}

// Drafts get what is left: tokens of the step, rows of logits, and blocks that no other request
// will want soon.
void Scheduler::PlanDrafts(int64_t tokens) {
  const auto end = requests_.begin() + static_cast<ptrdiff_t>(running_);
  int64_t rows = limits_.max_outputs -
                 std::count_if(requests_.begin(), end, [](auto& r) { return r->gets_logits(); });
  if (running() > options_.max_drafting) rows = 0;
  for (auto it = requests_.begin(); it != end; ++it) {
    Active& request = **it;
    // A token that is run again is the only one of its sequence in a step.
    const bool takes_draft = request.gets_logits() && !request.needs_replay();
    const int64_t room = takes_draft ? RoomForDraft(request) : 0;
    request.speculation.Draft(request.tokens, std::min({tokens, rows, room}));
    const int64_t drafted = request.drafted();
    if (drafted > 0) request.sequence->Claim(request.size() + drafted).IgnoreError();  // has room
    tokens -= drafted;
    rows -= drafted;
  }
}

int64_t Scheduler::RoomForDraft(const Active& request) const {
  const int64_t spare = std::max<int64_t>(0, runner_.pool().free() - running());
  const int64_t positions = request.sequence->room() - request.planned + spare * limits_.block_size;
  return std::min({positions, limits_.max_context - request.size(), request.answer.left() - 1});
}

void Scheduler::FillStep() {
  step_.clear();
  rows_ = 0;
  for (size_t i = 0; i < running_; ++i) AddTokens(*requests_[i]);
}

void Scheduler::AddTokens(Active& request) {
  const bool replay = request.needs_replay();
  const int64_t begin = replay ? request.size() - 1 : request.sequence->length();
  request.row = request.gets_logits() ? rows_ : kNoRow;
  for (int64_t i = begin; i < begin + request.planned; ++i) {
    step_.push_back({.sequence = request.sequence.get(),
                     .token = request.tokens[static_cast<size_t>(i)],
                     .want_logits = i + 1 == request.size(),
                     .replay = replay});
  }
  for (const int32_t token : request.speculation.draft()) {
    step_.push_back({.sequence = request.sequence.get(), .token = token, .want_logits = true});
  }
  if (request.gets_logits()) rows_ += 1 + static_cast<size_t>(request.drafted());
}

void Scheduler::TakeResults(const LogitRows& rows) {
  const size_t width = rows_ == 0 ? 0 : rows.values.size() / rows_;
  for (size_t i = 0; i < running_; ++i) {
    Active& request = *requests_[i];
    if (request.planned > 0) request.TellProgress(request.sequence->length());
    if (request.row == kNoRow) {
      if (cache_) Remember(request);
    } else {
      const auto count = 1 + static_cast<size_t>(request.drafted());
      TakeRows(request, rows.Part(request.row * width, count * width));
    }
  }
}

// Tells the prefix cache of the blocks that have become full. Blocks that it knows already, because
// another request had the same text, are held instead of the request's own: so whoever holds a
// known block holds all that are before it, and none of them is evicted earlier.
void Scheduler::Remember(Active& request) {
  Sequence& sequence = *request.sequence;
  const auto width = static_cast<size_t>(limits_.block_size);
  const auto full = static_cast<size_t>(sequence.length()) / width;
  for (size_t& i = request.remembered; i < full; ++i) {
    const int32_t before = i == 0 ? PrefixCache::kNone : sequence.blocks()[i - 1];
    const auto tokens = absl::MakeConstSpan(request.tokens).subspan(i * width, width);
    sequence.Replace(i, cache_->Insert(before, tokens, sequence.blocks()[i]));
  }
}

// Draws the next tokens. The prefix cache learns nothing that was guessed wrongly: that is taken
// back from the sequence first.
void Scheduler::TakeRows(Active& request, const LogitRows& rows) {
  const int64_t run = request.size();
  const int64_t before = request.answer.generated();
  const absl::StatusOr<bool> goes_on =
      request.speculation.Take(rows, limits_.max_context - run, request.answer, &request.tokens);
  const int64_t held = request.speculation.held();
  counters_.generated += request.answer.generated() - before;
  counters_.drafted += request.drafted();
  counters_.accepted += held;
  if (held < request.drafted()) request.sequence->Truncate(run + held);
  if (cache_) Remember(request);
  if (!goes_on.ok()) {
    Finish(request, goes_on.status());
  } else if (!*goes_on) {
    Finish(request, request.answer.reason());
  }
}

void Scheduler::FailStep(const absl::Status& status) {
  for (size_t i = 0; i < running_; ++i) {
    if (requests_[i]->planned > 0) Finish(*requests_[i], status);
  }
}

void Scheduler::Finish(Active& request, const absl::StatusOr<StopReason>& end) {
  request.finished = true;
  request.sequence.reset();
  request.result.status = end.status();
  if (end.ok()) request.result.reason = *end;
  request.result.generated = request.answer.generated();
  request.result.drafted = request.speculation.drafted();
  request.result.accepted = request.speculation.accepted();
  if (request.request.on_finish) request.request.on_finish(request.result);
}

void Scheduler::RemoveFinished() {
  const auto is_finished = [](const auto& request) { return request->finished; };
  const auto end_of_running = requests_.begin() + static_cast<ptrdiff_t>(running_);
  running_ -= static_cast<size_t>(std::count_if(requests_.begin(), end_of_running, is_finished));
  std::erase_if(requests_, is_finished);
}

}  // namespace sluice
