// Decode steps allocate nothing and take no lock once a few have been run.
//
// This program has its own malloc and pthread_mutex_lock, which count and pass on to the C
// library's. So what libraries do is counted, too, and on all threads.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>

#include "backends/cpu/cpu_backend.h"
#include "models/model.h"
#include "runtime/generate.h"
#include "runtime/scheduler.h"
#include "tests/support/model_test_name.h"
#include "tests/support/paths.h"
#include "tools/engine/session.h"

namespace {

std::atomic<int64_t> allocations = 0, locks = 0;

}  // namespace

// NOLINTBEGIN(bugprone-reserved-identifier): the C library's names.
extern "C" {

void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* memory, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);

void* malloc(size_t bytes) noexcept {
  ++allocations;
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) noexcept {
  ++allocations;
  return __libc_calloc(count, bytes);
}
void* realloc(void* memory, size_t bytes) noexcept {
  ++allocations;
  return __libc_realloc(memory, bytes);
}
void* memalign(size_t alignment, size_t bytes) noexcept {
  ++allocations;
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) noexcept { return memalign(alignment, bytes); }
int posix_memalign(void** memory, size_t alignment, size_t bytes) noexcept {
  *memory = memalign(alignment, bytes);
  return *memory != nullptr ? 0 : ENOMEM;
}

int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  using Lock = int (*)(pthread_mutex_t*);
  static std::atomic<Lock> next = nullptr;  // no guard: guards take a lock
  if (next == nullptr) next = reinterpret_cast<Lock>(dlsym(RTLD_NEXT, "pthread_mutex_lock"));
  ++locks;
  return next.load()(mutex);
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)

namespace sluice {
namespace {

struct Counts {
  int64_t allocations, locks;
};
Counts Now() { return {::allocations, ::locks}; }

TEST(SteadyState, CountsWhatItClaimsTo) {
  const Counts before = Now();
  int* volatile number = new int(1);  // volatile: or the compiler leaves the pair out
  delete number;
  std::mutex mutex;
  { const std::lock_guard<std::mutex> lock(mutex); }
  EXPECT_EQ(Now().allocations - before.allocations, 1);
  EXPECT_EQ(Now().locks - before.locks, 1);
}

// What is counted while the last 48 of 56 tokens are generated. The steps reach into new blocks of
// the cache, which hold 16 tokens.
Counts CountGeneration(const Model& model, const SamplerOptions& sampling) {
  constexpr int64_t kTokens = 56, kWarmUp = 8;
  const auto backend = MakeCpuBackend({.threads = 2});
  auto session = tools::OpenSession(model, *backend, {.max_tokens = 16, .context = 96},
                                    {.prepack_bytes = int64_t{1} << 40});
  EXPECT_TRUE(session.ok()) << session.status();
  int64_t tokens = 0;
  Counts first = {}, last = {};
  GenerateOptions options{.max_tokens = kTokens, .sampling = sampling};
  options.on_token = [&](int32_t) {
    ++tokens;
    if (tokens == kWarmUp) first = Now();
    if (tokens == kTokens) last = Now();
    return true;
  };
  const auto result = Generate(**session, {1, 2, 3}, options);
  EXPECT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(tokens, kTokens);
  return {last.allocations - first.allocations, last.locks - first.locks};
}

// The same for two requests at once.
Counts CountScheduling(const Model& model, bool prefix_cache) {
  constexpr int64_t kTokens = 56, kWarmUp = 8;
  const auto backend = MakeCpuBackend({.threads = 2});
  auto session =
      tools::OpenSession(model, *backend, {.max_tokens = 16, .max_seqs = 2, .context = 96},
                         {.max_outputs = 2, .prepack_bytes = int64_t{1} << 40});
  EXPECT_TRUE(session.ok()) << session.status();
  Scheduler scheduler(**session, {.prefix_cache = prefix_cache});
  int64_t tokens = 0;
  for (const int64_t id : {1, 2}) {
    Request request;
    request.id = id;
    request.prompt = {1, 2, static_cast<int32_t>(id)};
    request.options.max_tokens = kTokens;
    request.options.sampling.temperature = 0;
    request.options.on_token = [&](int32_t) { return ++tokens > 0; };
    scheduler.Add(std::move(request));
  }
  while (tokens < 2 * kWarmUp) scheduler.Step();
  const Counts first = Now();
  while (tokens < 2 * (kTokens - 1)) scheduler.Step();
  const Counts last = Now();
  return {last.allocations - first.allocations, last.locks - first.locks};
}

class SteadyState : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string name = GetParam();  // in tests/data/models; "": the embedded one
    auto model = name.empty() ? Model::LoadEmbedded()
                              : Model::Load(TestDataDir() + "/models/" + name + ".gguf");
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }

  void ExpectSteady(const SamplerOptions& sampling) const {
    const Counts counts = CountGeneration(*model_, sampling);
    EXPECT_EQ(counts.allocations, 0);
    EXPECT_EQ(counts.locks, 0);
  }

  std::unique_ptr<Model> model_;
};

TEST_P(SteadyState, Greedy) { ExpectSteady({.temperature = 0}); }

TEST_P(SteadyState, RequestsAtOnce) {
  for (const bool prefix_cache : {false, true}) {
    const Counts counts = CountScheduling(*model_, prefix_cache);
    EXPECT_EQ(counts.allocations, 0);
    EXPECT_EQ(counts.locks, 0);
  }
}

TEST_P(SteadyState, EverySamplerAtOnce) {
  for (const int64_t last_n : {-1, 16, 64}) {
    ExpectSteady({.typical_p = 0.9, .repeat_penalty = 1.1, .repeat_last_n = last_n});
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SteadyState,
                         testing::Values("", "llama.Q4_0", "llama-moe.Q8_0", "llama-tied-mha.F16"),
                         ModelTestName);

}  // namespace
}  // namespace sluice
