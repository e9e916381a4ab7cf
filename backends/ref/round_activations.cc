#include "backends/ref/round_activations.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sluice {

void RoundActivations(float* x, int64_t n) {
  constexpr int64_t kRun = 32;
  for (float* run = x; run < x + n; run += kRun) {
    float largest = 0;
    for (int64_t i = 0; i < kRun; ++i) largest = std::max(largest, std::abs(run[i]));
    const float scale = largest / 127;
    const float inverse = scale >= std::numeric_limits<float>::min() ? 1 / scale : 0;
    for (int64_t i = 0; i < kRun; ++i) run[i] = std::nearbyintf(run[i] * inverse) * scale;
  }
}

}  // namespace sluice
