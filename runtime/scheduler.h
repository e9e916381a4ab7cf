// Many requests at once: which tokens of which of them the next step runs.
//
// Continuous batching (Orca: Yu et al. 2022): each step takes the next token of every request that
// generates, and fills up with parts of prompts (chunked prefill: Agrawal et al. 2024). All is in
// the order of arrival, and the oldest request moves in every step:
// - the oldest that waits is admitted when there are blocks for all its tokens, and gets them at
//   once; nobody overtakes it;
// - one that needs another block when there is none takes those of the youngest, which waits again,
//   first in the queue, and will run all its tokens again, those that it generated among them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/answer.h"
#include "runtime/prefix_cache.h"
#include "runtime/speculation.h"
#include "runtime/step_runner.h"

namespace sluice {

struct SchedulerOptions {
  // 0, and what is more than the runner takes, is as much as the runner takes.
  int64_t step_tokens = 0;    // of one step
  int64_t prefill_chunk = 0;  // tokens of one prompt in one step
  int64_t max_running = 0;    // requests in one step
  int64_t max_waiting = 0;    // requests beyond these that may be in the queue; 0: no limit
  // There are drafts while no more requests than this run; 0: never. With more, a step is better
  // spent on tokens that are known. A draft needs rows of logits beside one for each request.
  int64_t max_drafting = 4;
  bool prefix_cache = true;
};

struct RequestResult {
  absl::Status status;  // if not ok, what made the request fail
  StopReason reason = StopReason::kLength;
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt; found, not run
  int64_t generated = 0;      // tokens given to on_token
  int64_t drafted = 0;        // tokens guessed, see speculation.h
  int64_t accepted = 0;       // of these, rightly
};

// How far a request's prompt is, in tokens.
struct PromptProgress {
  int64_t total = 0;
  int64_t cached = 0;     // found, not run
  int64_t processed = 0;  // run or found
};

// The callbacks are called from within Scheduler's functions and do not call these.
struct Request {
  int64_t id = 0;  // of no other unfinished request
  std::vector<int32_t> prompt;
  GenerateOptions options;
  // Called when the request is admitted, and after each step that ran a part of its prompt. None:
  // nobody looks.
  std::function<void(const PromptProgress&)> on_prompt;
  // Called once, when the request's blocks are free again. None: nobody is told.
  std::function<void(const RequestResult&)> on_finish;
};

// For use by one thread at a time; see request_queue.h for requests from others.
class Scheduler {
 public:
  struct Counters {
    int64_t steps = 0;
    int64_t tokens = 0;  // run, those that were run again or guessed among them
    int64_t generated = 0;
    int64_t drafted = 0;   // tokens guessed, see speculation.h
    int64_t accepted = 0;  // of these, rightly
    int64_t preemptions = 0;
  };

  // `runner` outlives the scheduler. The sequences of others may take blocks of its pool.
  Scheduler(StepRunner& runner, const SchedulerOptions& options);
  ~Scheduler();

  // InvalidArgument says why the request can never be run. Safe to call from any thread.
  absl::Status Check(const Request& request) const;
  // Puts a request at the end of the queue, or finishes it with an error: Check's, AlreadyExists
  // for its id, ResourceExhausted if the queue is full.
  void Add(Request request);
  // Ends a request with StopReason::kCallback. False if there is none with this id.
  bool Cancel(int64_t id);
  // Cancels all requests and empties the prefix cache.
  void Reset();

  // Runs one step. Its failure ends the requests that took part; logits that are not finite
  // end their own request alone.
  void Step();

  bool idle() const { return requests_.empty(); }
  int64_t running() const { return static_cast<int64_t>(running_); }
  int64_t waiting() const { return static_cast<int64_t>(requests_.size() - running_); }
  const Counters& counters() const { return counters_; }
  // nullptr without a prefix cache.
  const PrefixCache* prefix_cache() const { return cache_ ? &*cache_ : nullptr; }

 private:
  struct Active;

  absl::Status CheckQueue(const Request& request) const;

  // The parts of Step, in their order.
  void EndStopped();
  void GrowRunning();
  bool AdmitNext();
  void PlanStep();
  void FillStep();
  void RunStep();
  void RemoveFinished();

  void PreemptYoungest();
  void PlanDrafts(int64_t tokens);
  int64_t RoomForDraft(const Active& request) const;
  void AddTokens(Active& request);
  RowForm FormOfRows() const;
  void TakeResults(const LogitRows& rows);
  void Remember(Active& request);
  void TakeRows(Active& request, const LogitRows& rows);
  void FailStep(const absl::Status& status);
  void Finish(Active& request, const absl::StatusOr<StopReason>& end);

  StepRunner& runner_;
  const StepLimits limits_;
  SchedulerOptions options_;
  std::optional<PrefixCache> cache_;
  // By arrival. The first `running_` have a sequence, the others wait.
  std::vector<std::unique_ptr<Active>> requests_;
  size_t running_ = 0;
  Counters counters_;
  std::vector<StepToken> step_;
  size_t rows_ = 0;  // of logits that the step gives
  std::vector<int32_t> found_;
};

}  // namespace sluice
