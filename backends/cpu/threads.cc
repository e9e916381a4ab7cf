#include "backends/cpu/threads.h"

#include <sched.h>

#include <chrono>
#include <system_error>
#include <thread>
#include <vector>

namespace sluice::cpu {
namespace {

using Clock = std::chrono::steady_clock;

// How a thread waits for another one.
//
// First it pauses: the answer costs one cache line's way, about 0.1 us. The next loop of a step
// comes within a few microseconds, the slower part of a loop within tens. Who yields at once loses
// the core for milliseconds to whatever waits in the background, however low its priority.
constexpr auto kPausing = std::chrono::microseconds(100);
// Then it yields: the same where the core is free, and who needs the core gets it. Outside of a
// region it goes to sleep after this time in all. Between two steps lies the choice of a token:
// 5 us with a small vocabulary, 100 us with a large one. To fall asleep and to be woken takes up to
// 50 us: being awake a few times that for nothing is not much worse than having known better.
constexpr auto kAwake = std::chrono::microseconds(200);

void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");  // `yield` does nothing on most of these
#endif
}

// A wait in progress.
class Wait {
 public:
  explicit Wait(Clock::duration pausing) : pausing_(pausing) {}

  // Waits a little.
  void Step() {
    constexpr int kPausesByClock = 32;  // about 1 us: reading the clock costs little beside it
    if (elapsed_ >= pausing_) {
      std::this_thread::yield();
    } else if (++pauses_ % kPausesByClock != 0) {
      return Pause();
    }
    const Clock::time_point now = Clock::now();
    if (start_ == Clock::time_point()) start_ = now;
    elapsed_ = now - start_;
  }
  Clock::duration elapsed() const { return elapsed_; }

 private:
  Clock::duration pausing_;
  int pauses_ = 0;
  Clock::time_point start_;  // at the first look at the clock
  Clock::duration elapsed_ = {};
};

}  // namespace

int UsableCpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

class Threads::Pool {
 public:
  explicit Pool(int workers);
  ~Pool();

  void Open();
  void Close() { open_regions_.fetch_sub(1, std::memory_order_relaxed); }
  void Run(int most, Call call, const void* context);

 private:
  // Who may do what with a slot:
  //   kIdle    the caller posts, or stops; the worker falls asleep
  //   kPosted  whoever takes it first, worker or caller, does the part
  //   kTaken   the worker does the part and makes the slot idle
  //   kAsleep  the caller posts, stops or makes it idle, and then wakes the worker
  //   kStop    the worker ends
  enum class State : int32_t { kIdle, kPosted, kTaken, kAsleep, kStop };
  struct alignas(64) Slot {
    std::atomic<State> state = State::kIdle;
  };

  void Post(Slot& slot, State state);
  void Finish(Slot& slot, int part);
  void Work(Slot& slot, int part);
  State AwaitPost(Slot& slot) const;

  const int workers_;
  const Clock::duration pausing_;
  std::unique_ptr<Slot[]> slots_;
  std::vector<std::thread> threads_;
  std::atomic<int> open_regions_ = 0;
  std::atomic<bool> busy_ = false;
  // Of the loop in progress. Written while all slots are idle, read after taking one.
  int parts_ = 0;
  Call call_ = nullptr;
  const void* context_ = nullptr;
};

// With more threads than CPUs, pausing keeps off the very thread that is waited for.
Threads::Pool::Pool(int workers)
    : workers_(workers),
      pausing_(workers < UsableCpus() ? kPausing : Clock::duration::zero()),
      slots_(std::make_unique<Slot[]>(static_cast<size_t>(workers))) {
  threads_.reserve(static_cast<size_t>(workers));
  try {
    for (int i = 0; i < workers; ++i) {
      threads_.emplace_back([this, i] { Work(slots_[static_cast<size_t>(i)], i + 1); });
    }
  } catch (const std::system_error&) {
    // Out of threads. The caller takes back what it posts to slots without one.
  }
}

Threads::Pool::~Pool() {
  for (size_t i = 0; i < threads_.size(); ++i) Post(slots_[i], State::kStop);
  for (std::thread& thread : threads_) thread.join();
}

void Threads::Pool::Open() {
  open_regions_.fetch_add(1, std::memory_order_relaxed);
  for (int i = 0; i < workers_; ++i) {
    std::atomic<State>& state = slots_[static_cast<size_t>(i)].state;
    State asleep = State::kAsleep;
    if (state.load(std::memory_order_relaxed) == asleep &&
        state.compare_exchange_strong(asleep, State::kIdle)) {
      state.notify_one();
    }
  }
}

void Threads::Pool::Run(int most, Call call, const void* context) {
  if (busy_.exchange(true, std::memory_order_acquire)) return call(context, 0, 1);
  parts_ = most;
  call_ = call;
  context_ = context;
  for (int i = 0; i + 1 < most; ++i) Post(slots_[static_cast<size_t>(i)], State::kPosted);
  call(context, 0, most);
  for (int i = 0; i + 1 < most; ++i) Finish(slots_[static_cast<size_t>(i)], i + 1);
  busy_.store(false, std::memory_order_release);
}

void Threads::Pool::Post(Slot& slot, State state) {
  if (slot.state.exchange(state) == State::kAsleep) slot.state.notify_one();
}

// Does the part if no worker has begun it, else waits for the one that has.
void Threads::Pool::Finish(Slot& slot, int part) {
  State posted = State::kPosted;
  if (slot.state.compare_exchange_strong(posted, State::kIdle)) {
    return call_(context_, part, parts_);
  }
  Wait wait(pausing_);
  while (slot.state.load(std::memory_order_acquire) == State::kTaken) wait.Step();
}

void Threads::Pool::Work(Slot& slot, int part) {
  while (AwaitPost(slot) == State::kPosted) {
    State posted = State::kPosted;
    if (!slot.state.compare_exchange_strong(posted, State::kTaken)) continue;  // taken back
    call_(context_, part, parts_);
    slot.state.store(State::kIdle, std::memory_order_release);
  }
}

// Waits for kPosted or kStop.
Threads::Pool::State Threads::Pool::AwaitPost(Slot& slot) const {
  Wait wait(pausing_);
  for (;;) {
    State state = slot.state.load(std::memory_order_relaxed);
    if (state == State::kPosted || state == State::kStop) return state;
    const bool may_sleep = open_regions_.load(std::memory_order_relaxed) == 0;
    if (may_sleep && wait.elapsed() >= kAwake &&
        slot.state.compare_exchange_strong(state, State::kAsleep)) {
      slot.state.wait(State::kAsleep);
      wait = Wait(pausing_);
    } else {
      wait.Step();
    }
  }
}

Threads::Threads(int count) : count_(std::max(count, 1)) {
  if (count_ > 1) pool_ = std::make_unique<Pool>(count_ - 1);
}

Threads::~Threads() = default;

void Threads::RunParts(int most, Call call, const void* context) const {
  pool_->Run(most, call, context);
}

Threads::Region::Region(const Threads& threads) : threads_(threads) {
  if (threads_.pool_ != nullptr) threads_.pool_->Open();
}

Threads::Region::~Region() {
  if (threads_.pool_ != nullptr) threads_.pool_->Close();
}

}  // namespace sluice::cpu
