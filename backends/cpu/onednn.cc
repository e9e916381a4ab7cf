#include "backends/cpu/onednn.h"

#include <oneapi/dnnl/dnnl.h>

namespace sluice::cpu {

bool MultiplyTransposed(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_stride,
                        const float* b, int64_t b_stride, float* c, int64_t c_stride) {
  return dnnl_sgemm('N', 'T', m, n, k, 1.0f, a, a_stride, b, b_stride, 0.0f, c, c_stride) ==
         dnnl_success;
}

}  // namespace sluice::cpu
