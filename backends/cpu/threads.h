// Parallel loops over the one thread pool there is: OpenMP's, which oneDNN uses, too.
//
// Every parallel region of the backend goes through here, and oneDNN is kept on the thread that
// calls it (onednn.h), so regions and library calls never fight over cores.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace sluice::cpu {

class Threads {
 public:
  explicit Threads(int count) : count_(count) {}
  int count() const { return count_; }

  // Calls body(begin, end, thread) on contiguous parts of [0, n), at least `grain` long each.
  // One part runs on the calling thread without any synchronisation.
  template <typename Body>
  void For(int64_t n, int64_t grain, const Body& body) const {
    const int64_t wanted = (n + grain - 1) / std::max<int64_t>(grain, 1);
    const int64_t parts = std::clamp<int64_t>(wanted, 1, count_);
    Region(static_cast<int>(parts), [&](int part) {
      const int64_t begin = n * part / parts, end = n * (part + 1) / parts;
      if (begin < end) body(begin, end, part);
    });
  }

  // Calls body(index, thread) for every index of [0, n), handed out one by one: for pieces of work
  // of unequal size, such as experts.
  template <typename Body>
  void ForEach(int64_t n, const Body& body) const {
    std::atomic<int64_t> next = 0;
    Region(static_cast<int>(std::clamp<int64_t>(n, 1, count_)), [&](int thread) {
      for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) body(i, thread);
    });
  }

 private:
  // Calls body(thread) once on each of `workers` threads and waits for all of them.
  template <typename Body>
  static void Region(int workers, const Body& body) {
    if (workers == 1) return body(0);
    RunRegion(
        workers,
        [](const void* context, int thread) { (*static_cast<const Body*>(context))(thread); },
        &body);
  }
  static void RunRegion(int workers, void (*call)(const void* context, int thread),
                        const void* context);

  int count_;
};

}  // namespace sluice::cpu
