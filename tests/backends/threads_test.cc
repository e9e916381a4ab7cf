#include "backends/cpu/threads.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <tuple>
#include <vector>

namespace sluice::cpu {
namespace {

// More than machines have, so that threads share cores; two; and none but the caller.
constexpr int kCounts[] = {1, 2, 3, 16};

// Long enough for idle threads to fall asleep. Nothing depends on whether they do: only what a loop
// has to do first.
void LetThreadsSleep() { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }

TEST(Threads, ForMakesContiguousPartsNoShorterThanHalfAGrain) {
  for (const int count : kCounts) {
    const Threads threads(count);
    for (const int64_t n : {0, 1, 2, 7, 16, 1000}) {
      for (const int64_t grain : {1, 3, 16, 2000}) {
        std::vector<int> visits(static_cast<size_t>(n)), parts(static_cast<size_t>(count));
        threads.For(n, grain, [&](int64_t begin, int64_t end, int thread) {
          ++parts.at(static_cast<size_t>(thread));
          EXPECT_GE(end - begin, std::min(n, grain / 2));
          for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        });
        EXPECT_EQ(visits, std::vector<int>(static_cast<size_t>(n), 1)) << count << " " << grain;
        for (const int p : parts) EXPECT_LE(p, 1);
      }
    }
  }
}

TEST(Threads, ForEachHandsOutEveryIndexOnce) {
  for (const int count : kCounts) {
    const Threads threads(count);
    for (const int64_t n : {0, 1, 5, 1000}) {
      std::vector<int> visits(static_cast<size_t>(n));
      threads.ForEach(n, [&](int64_t i, int) { ++visits[static_cast<size_t>(i)]; });
      EXPECT_EQ(visits, std::vector<int>(static_cast<size_t>(n), 1)) << count;
    }
  }
}

// Working memory is found by the thread's number: nobody else may have it at the same time.
TEST(Threads, NumbersDifferAmongPartsThatRunAtTheSameTime) {
  const Threads threads(4);
  std::atomic<bool> in_use[4] = {};
  threads.ForEach(2000, [&](int64_t, int thread) {
    EXPECT_FALSE(in_use[thread].exchange(true));
    std::this_thread::yield();
    in_use[thread] = false;
  });
}

TEST(Threads, OnePartRunsOnTheCaller) {
  const Threads threads(2);
  std::thread::id id;
  threads.For(8, 8, [&](int64_t, int64_t, int) { id = std::this_thread::get_id(); });
  EXPECT_EQ(id, std::this_thread::get_id());
}

// Part 0 waits for part 1, so this ends only if a second thread does its part, awake or asleep.
TEST(Threads, PartsRunAtTheSameTime) {
  const Threads threads(2);
  for (int i = 0; i < 20; ++i) {
    if (i % 2 == 0) LetThreadsSleep();
    std::atomic<bool> has_begun = false;
    std::thread::id ids[2];
    threads.For(2, 1, [&](int64_t, int64_t, int thread) {
      ids[thread] = std::this_thread::get_id();
      if (thread == 1) has_begun = true;
      while (!has_begun) std::this_thread::yield();
    });
    EXPECT_NE(ids[0], ids[1]);
  }
}

TEST(Threads, ALoopSeesWhatTheOneBeforeWrote) {
  for (const int count : kCounts) {
    const Threads threads(count);
    std::vector<int64_t> a(64), b(64);
    const Threads::Region region(threads);
    for (int64_t round = 0; round < 1000; ++round) {
      const auto copy = [&](const std::vector<int64_t>& from, std::vector<int64_t>* to) {
        threads.For(64, 1, [&](int64_t begin, int64_t end, int) {
          for (int64_t i = begin; i < end; ++i) {
            (*to)[static_cast<size_t>(i)] = from[static_cast<size_t>(63 - i)] + 1;
          }
        });
      };
      copy(a, &b);
      copy(b, &a);
    }
    EXPECT_EQ(a, std::vector<int64_t>(64, 2000)) << count;
  }
}

TEST(Threads, ALoopInsideOfALoopRunsOnItsThread) {
  const Threads threads(4);
  std::vector<int> visits(64);
  threads.ForEach(8, [&](int64_t i, int) {
    const std::thread::id outer = std::this_thread::get_id();
    threads.For(8, 1, [&](int64_t begin, int64_t end, int thread) {
      EXPECT_EQ(std::make_tuple(begin, end, thread), std::make_tuple(0, 8, 0));
      EXPECT_EQ(std::this_thread::get_id(), outer);
      for (int64_t j = begin; j < end; ++j) ++visits[static_cast<size_t>(8 * i + j)];
    });
  });
  EXPECT_EQ(visits, std::vector<int>(64, 1));
}

TEST(Threads, TwoCallersAtOnceBothGetTheirLoopsDone) {
  const Threads threads(3);
  const auto add_up = [&threads](int64_t* sum) {
    for (int round = 0; round < 500; ++round) {
      const Threads::Region region(threads);
      std::atomic<int64_t> part_sum = 0;
      threads.ForEach(10, [&](int64_t i, int) { part_sum += i; });
      *sum += part_sum;
    }
  };
  int64_t mine = 0, others = 0;
  std::thread other(add_up, &others);
  add_up(&mine);
  other.join();
  EXPECT_EQ(mine, 500 * 45);
  EXPECT_EQ(others, 500 * 45);
}

TEST(Threads, RegionsWakeAndEndAtAnyTime) {
  const Threads threads(3);
  std::atomic<int> parts = 0;
  for (int round = 0; round < 10; ++round) {
    LetThreadsSleep();
    const Threads::Region outer(threads);
    { const Threads::Region inner(threads); }
    LetThreadsSleep();
    threads.For(3, 1, [&](int64_t, int64_t, int) { ++parts; });
  }
  EXPECT_EQ(parts, 30);
}

TEST(Threads, EndAwakeOrAsleepWithoutWork) {
  for (int round = 0; round < 20; ++round) {
    const Threads threads(4);
    if (round % 2 == 0) LetThreadsSleep();
  }
  EXPECT_EQ(Threads(0).count(), 1);
  EXPECT_GE(UsableCpus(), 1);
}

}  // namespace
}  // namespace sluice::cpu
