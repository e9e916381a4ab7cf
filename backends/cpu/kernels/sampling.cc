// CPU kernels of the sampling family.
#include <cmath>
#include <limits>

#include "backends/cpu/step.h"
#include "graph/ops/elementwise.h"

namespace sluice::cpu {
namespace {

// Rows are independent. The best so far stand sorted in the results, and nearly no element of a
// long row is better than the last of them.
class TopKStep : public Step {
 public:
  absl::Status Run(const StepArgs& args) override {
    const TensorView& x = As<UnaryCall>(args).x;
    const int64_t k = args.results[0].cols();
    args.threads.ForEach(x.rows(), [&](int64_t row, int) {
      SelectRow(x.f32() + row * x.cols(), x.cols(), k, args.results[0].f32() + row * k,
                args.results[1].i32() + row * k);
    });
    return absl::OkStatus();
  }

 private:
  static float Rank(float x) { return std::isnan(x) ? std::numeric_limits<float>::infinity() : x; }

  // Indices rise, so that of equal elements the one that is there stays before the new one.
  static void SelectRow(const float* x, int64_t n, int64_t k, float* values, int32_t* ids) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; ++i) {
      // False for NaN: that is let in.
      if (count == k && x[i] <= Rank(values[k - 1])) continue;
      const float rank = Rank(x[i]);
      if (count == k && rank <= Rank(values[k - 1])) continue;
      int64_t at = count < k ? count++ : k - 1;
      for (; at > 0 && Rank(values[at - 1]) < rank; --at) {
        values[at] = values[at - 1];
        ids[at] = ids[at - 1];
      }
      values[at] = x[i];
      ids[at] = static_cast<int32_t>(i);
    }
  }
};

absl::StatusOr<std::unique_ptr<Step>> LowerTopK(const LowerContext&) {
  return std::make_unique<TopKStep>();
}

}  // namespace

void AddSamplingKernels(std::vector<CpuKernel>* kernels) {
  kernels->push_back({{"cpu.top_k", "top_k", "one pass over each row", AcceptsAll}, LowerTopK});
}

}  // namespace sluice::cpu
