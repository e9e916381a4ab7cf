#include "tools/server/model_thread.h"

#include <algorithm>

namespace sluice::server {

ModelThread::ModelThread(Session& session, const SchedulerOptions& options)
    : session_(session), scheduler_(session, options) {
  state_.max_context = session.max_context();
  state_.max_running = std::min(session.limits().max_seqs, session.limits().max_outputs);
  samples_.fill({Clock::now(), 0});
  runner_ = std::thread([this] {
    RunRequests(queue_, scheduler_, [this](const Scheduler& scheduler) {
      Publish(scheduler);
      ContinueProfile(scheduler);
    });
  });
}

ModelThread::~ModelThread() {
  queue_.Close();
  runner_.join();
}

void ModelThread::Publish(const Scheduler& scheduler) {
  const BlockPool& pool = session_.pool();
  const std::lock_guard<std::mutex> lock(mutex_);
  state_.running = scheduler.running();
  state_.waiting = scheduler.waiting();
  state_.counters = scheduler.counters();
  if (const PrefixCache* const cache = scheduler.prefix_cache(); cache != nullptr) {
    state_.prefix_cache = cache->counters();
    state_.known_blocks = cache->size();
  }
  state_.blocks = pool.size();
  state_.free_blocks = pool.free();
  state_.idle_blocks = pool.idle();
  RateSample& newest = samples_[(next_sample_ + kRateSeconds - 1) % kRateSeconds];
  if (Clock::now() - newest.time < std::chrono::seconds(1)) return;
  samples_[next_sample_] = {Clock::now(), state_.counters.generated};
  next_sample_ = (next_sample_ + 1) % kRateSeconds;
}

ModelThreadState ModelThread::state() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  ModelThreadState state = state_;
  // From the oldest sample that is not too old, so that the rate falls to 0 when nothing happens.
  const auto now = Clock::now();
  for (size_t i = 0; i < kRateSeconds; ++i) {
    const RateSample& sample = samples_[(next_sample_ + i) % kRateSeconds];
    const double age = std::chrono::duration<double>(now - sample.time).count();
    if (age > kRateSeconds + 1) continue;
    const auto generated = static_cast<double>(state.counters.generated - sample.generated);
    state.tokens_per_second = generated / std::max(age, 1.0);
    break;
  }
  return state;
}

// Between two steps, on the thread that runs the session: nobody else touches the recorder.
void ModelThread::ContinueProfile(const Scheduler& scheduler) {
  const std::lock_guard<std::mutex> lock(profile_mutex_);
  const int64_t tokens = scheduler.counters().tokens;
  if (recorder_.has_value() && recorded_ == profiles_ && profile_wanted_ > 0) {
    recorder_->EndStep(tokens);
    profile_ = recorder_->profile();
    if (profile_.steps < profile_wanted_) return;
    profile_wanted_ = 0;
    profile_done_.notify_all();
  }
  session_.set_observer(nullptr);
  recorder_.reset();
  if (profile_wanted_ == 0) return;
  recorded_ = profiles_;
  session_.set_observer(&recorder_.emplace(tokens));
}

StepProfile ModelThread::Profile(int64_t steps, std::chrono::milliseconds patience) {
  const std::lock_guard<std::mutex> turn(profile_turn_);
  std::unique_lock<std::mutex> lock(profile_mutex_);
  ++profiles_;
  profile_ = {};
  profile_wanted_ = steps;
  profile_done_.wait_for(lock, patience, [this] { return profile_wanted_ == 0; });
  profile_wanted_ = 0;
  return profile_;
}

}  // namespace sluice::server
