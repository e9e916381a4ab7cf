// Parallel loops over the one thread pool there is: OpenMP's, which oneDNN uses, too.
//
// Every parallel region of the backend goes through here. Inside a region oneDNN runs on the
// calling thread alone, so regions and library calls never fight over cores.
#pragma once

#include <omp.h>

#include <algorithm>
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
    const int parts = static_cast<int>(std::clamp<int64_t>(wanted, 1, count_));
    if (parts == 1) {
      if (n > 0) body(int64_t{0}, n, 0);
      return;
    }
#pragma omp parallel for num_threads(parts) schedule(static, 1)
    for (int part = 0; part < parts; ++part) body(n * part / parts, n * (part + 1) / parts, part);
  }

  // Calls body(index, thread) for every index of [0, n), handed out one by one: for pieces of work
  // of unequal size, such as experts.
  template <typename Body>
  void ForEach(int64_t n, const Body& body) const {
    const int workers = static_cast<int>(std::clamp<int64_t>(n, 1, count_));
    if (workers == 1) {
      for (int64_t i = 0; i < n; ++i) body(i, 0);
      return;
    }
#pragma omp parallel for num_threads(workers) schedule(dynamic, 1)
    for (int64_t i = 0; i < n; ++i) body(i, omp_get_thread_num());
  }

 private:
  int count_;
};

}  // namespace sluice::cpu
