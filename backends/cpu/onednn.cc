#include "backends/cpu/onednn.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

namespace sluice::cpu {
namespace {

// Keeps oneDNN on the calling thread while it lives. It would start OpenMP's threads, one team for
// each thread of ours that calls it. The setting belongs to the calling thread.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

}  // namespace

bool MultiplyTransposed(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_stride,
                        const float* b, int64_t b_stride, float* c, int64_t c_stride) {
  const OneThread one_thread;
  return dnnl_sgemm('N', 'T', m, n, k, 1.0f, a, a_stride, b, b_stride, 0.0f, c, c_stride) ==
         dnnl_success;
}

bool Multiply(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_stride, const float* b,
              int64_t b_stride, float* c, int64_t c_stride) {
  const OneThread one_thread;
  return dnnl_sgemm('N', 'N', m, n, k, 1.0f, a, a_stride, b, b_stride, 0.0f, c, c_stride) ==
         dnnl_success;
}

}  // namespace sluice::cpu
