#include "backends/cpu/threads.h"

#include <omp.h>

// GCC's OpenMP runtime is not instrumented: ThreadSanitizer does not see that a region begins after
// what its caller did before, and that the caller goes on after the region. These calls say so.
#if defined(__SANITIZE_THREAD__)
extern "C" void __tsan_acquire(void* address);  // NOLINT(bugprone-reserved-identifier)
extern "C" void __tsan_release(void* address);  // NOLINT(bugprone-reserved-identifier)
#endif

namespace sluice::cpu {
namespace {

void Acquire([[maybe_unused]] const void* token) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(const_cast<void*>(token));
#endif
}

void Release([[maybe_unused]] const void* token) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(const_cast<void*>(token));
#endif
}

}  // namespace

// Not instrumented itself, because the compiler hands the arguments to the workers in a structure
// that they read before any call of ours could announce it.
__attribute__((no_sanitize("thread"))) void Threads::RunRegion(
    int workers, void (*call)(const void* context, int thread), const void* context) {
  Release(context);
#pragma omp parallel num_threads(workers)
  {
    Acquire(context);
    call(context, omp_get_thread_num());
    Release(context);
  }
  Acquire(context);
}

}  // namespace sluice::cpu
