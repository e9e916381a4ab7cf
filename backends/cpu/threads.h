// Parallel loops over one pool of threads.
//
// Every loop of the backend goes through here, and oneDNN is kept on the thread that calls it
// (onednn.h), so loops and library calls never fight over cores.
//
// A loop takes no lock and allocates nothing. The caller hands each other thread its part through
// a slot in a cache line of its own, does part 0, takes back the parts that no thread has begun,
// and waits for those that one has. So a thread that the system does not run holds up nobody: two
// processes on the same cores share them instead of waiting for each other.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

namespace sluice::cpu {

// The number of CPUs that this process may use, by its affinity mask.
int UsableCpus();

class Threads {
 public:
  // Starts count - 1 threads. Where the system gives fewer, the caller does their parts.
  explicit Threads(int count);
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int count() const { return count_; }

  // Wakes the threads and, while it lives, keeps them awake between loops: for a run of many short
  // ones. Loops work without it, too, but some may first have to wake a thread.
  class Region {
   public:
    explicit Region(const Threads& threads);
    ~Region();
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;

   private:
    const Threads& threads_;
  };

  // Calls body(begin, end, thread) on contiguous parts of [0, n), one for each `grain` begun but no
  // more than count(). One part runs on the calling thread without any synchronisation.
  //
  // `thread` is below count() and differs between parts that run at the same time. A loop inside
  // of a body, or beside a loop of another caller, runs as one part on its calling thread, as
  // thread 0. Bodies do not throw.
  template <typename Body>
  void For(int64_t n, int64_t grain, const Body& body) const {
    const int64_t wanted = (n + grain - 1) / std::max<int64_t>(grain, 1);
    const int64_t most = std::clamp<int64_t>(wanted, 1, count_);
    Fork(static_cast<int>(most), [&](int part, int parts) {
      const int64_t begin = n * part / parts, end = n * (part + 1) / parts;
      if (begin < end) body(begin, end, part);
    });
  }

  // Calls body(index, thread) for every index of [0, n), handed out one by one: for pieces of work
  // of unequal size, such as experts.
  template <typename Body>
  void ForEach(int64_t n, const Body& body) const {
    std::atomic<int64_t> next = 0;
    Fork(static_cast<int>(std::clamp<int64_t>(n, 1, count_)), [&](int part, int) {
      for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) body(i, part);
    });
  }

 private:
  class Pool;
  // What one part calls: call(context, part, parts).
  using Call = void (*)(const void* context, int part, int parts);

  // Calls body(part, parts) for each part, of which there are `most` or one, and waits for all.
  template <typename Body>
  void Fork(int most, const Body& body) const {
    if (most == 1) return body(0, 1);
    RunParts(
        most,
        [](const void* context, int part, int parts) {
          (*static_cast<const Body*>(context))(part, parts);
        },
        &body);
  }
  void RunParts(int most, Call call, const void* context) const;

  int count_;
  std::unique_ptr<Pool> pool_;  // null for one thread; loops change nothing that a caller sees
};

}  // namespace sluice::cpu
