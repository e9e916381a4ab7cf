// What a parallel loop costs, with the pool of the CPU backend and with OpenMP's.
//
// The argument is the length of each part's work, in multiplications one after the other. With 0
// the pool's caller takes every part back before another thread has seen it.
#include <benchmark/benchmark.h>

#include "backends/cpu/threads.h"

namespace sluice::cpu {
namespace {

constexpr int kThreads = 2;

void Work(int64_t multiplications) {
  float x = 1.0f;
  for (int64_t i = 0; i < multiplications; ++i) {
    x *= 0.5f;
    benchmark::DoNotOptimize(x);
  }
}

void BM_Serial(benchmark::State& state) {
  for (auto _ : state) {
    for (int i = 0; i < kThreads; ++i) Work(state.range(0));
  }
}

void BM_OpenMp(benchmark::State& state) {
  for (auto _ : state) {
#pragma omp parallel num_threads(kThreads)
    Work(state.range(0));
  }
}

void BM_For(benchmark::State& state) {
  const Threads threads(kThreads);
  const Threads::Region region(threads);
  for (auto _ : state) {
    threads.For(kThreads, 1, [&](int64_t, int64_t, int) { Work(state.range(0)); });
  }
}

void BM_ForEach(benchmark::State& state) {
  const Threads threads(kThreads);
  const Threads::Region region(threads);
  for (auto _ : state) {
    threads.ForEach(kThreads, [&](int64_t, int) { Work(state.range(0)); });
  }
}

BENCHMARK(BM_Serial)->Arg(0)->Arg(1000)->Arg(30000)->UseRealTime();
BENCHMARK(BM_OpenMp)->Arg(0)->Arg(1000)->Arg(30000)->UseRealTime();
BENCHMARK(BM_For)->Arg(0)->Arg(1000)->Arg(30000)->UseRealTime();
BENCHMARK(BM_ForEach)->Arg(0)->Arg(1000)->Arg(30000)->UseRealTime();

}  // namespace
}  // namespace sluice::cpu

BENCHMARK_MAIN();
