// CPU kernels of the norm and rope family.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backends/cpu/step.h"
#include "graph/ops/rope_frequencies.h"
#include "graph/status_macros.h"

namespace sluice::cpu {
namespace {

absl::Status AcceptsAll(const Node&, const proto::DeviceCaps&) { return absl::OkStatus(); }

class RmsNormStep : public Step {
 public:
  explicit RmsNormStep(const LowerContext& context) : eps_(context.call.Float("eps")) {}
  absl::Status Run(const StepArgs& args) override {
    const TensorView& x = args.operands[0];
    const float* weight = args.operands.size() > 1 ? args.operands[1].f32() : nullptr;
    const int64_t n = x.cols();
    const int64_t grain = std::max<int64_t>(1, 4096 / n);
    args.threads.For(x.rows(), grain, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        Row(x.f32() + r * n, weight, n, args.results[0].f32() + r * n);
      }
    });
    return absl::OkStatus();
  }

 private:
  void Row(const float* x, const float* weight, int64_t n, float* y) const {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += double{x[i]} * double{x[i]};
    const auto scale = static_cast<float>(1 / std::sqrt(sum / static_cast<double>(n) + eps_));
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] * scale * (weight != nullptr ? weight[i] : 1.0f);
  }
  double eps_;
};

// Angles are computed in float64: at position 100,000 a float32 angle is off by 0.004 radians.
class RopeStep : public Step {
 public:
  explicit RopeStep(const LowerContext& context)
      : params_(RopeParamsOf(context.call)),
        interleaved_(context.call.String("style") == "interleaved"),
        fixed_(context.node.operand(2) == nullptr ||
               context.node.operand(2)->kind() == Value::Kind::kWeight) {}

  absl::Status Run(const StepArgs& args) override {
    const TensorView& x = args.operands[0];
    SLUICE_RETURN_IF_ERROR(PrepareFrequencies(args));
    args.threads.For(x.dim(0), 4, [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t) RotateToken(args, t);
    });
    return absl::OkStatus();
  }

 private:
  // Frequency factors that are a weight are the same in every step: the table is made once.
  absl::Status PrepareFrequencies(const StepArgs& args) {
    absl::Span<const float> factors;
    if (args.operands.size() > 2) {
      factors = {args.operands[2].f32(), static_cast<size_t>(args.operands[2].elements())};
    }
    if (fixed_ && !frequencies_.inverse.empty()) return absl::OkStatus();
    SLUICE_ASSIGN_OR_RETURN(frequencies_, ComputeRopeFrequencies(params_, factors));
    return absl::OkStatus();
  }

  void RotateToken(const StepArgs& args, int64_t t) const {
    const TensorView& x = args.operands[0];
    const int64_t heads = x.dim(1), width = x.dim(2);
    const double position = args.operands[1].i32()[t];
    const float* in = x.f32() + t * heads * width;
    float* out = args.results[0].f32() + t * heads * width;
    const int64_t pairs = params_.dims / 2;
    for (int64_t h = 0; h < heads; ++h) {
      std::copy_n(in + h * width + params_.dims, width - params_.dims,
                  out + h * width + params_.dims);
    }
    for (int64_t i = 0; i < pairs; ++i) {
      const double angle = position * frequencies_.inverse[static_cast<size_t>(i)];
      const auto cos = static_cast<float>(std::cos(angle) * frequencies_.magnitude);
      const auto sin = static_cast<float>(std::sin(angle) * frequencies_.magnitude);
      const int64_t first = interleaved_ ? 2 * i : i;
      const int64_t second = interleaved_ ? 2 * i + 1 : i + pairs;
      for (int64_t h = 0; h < heads; ++h) {
        const float a = in[h * width + first], b = in[h * width + second];
        out[h * width + first] = a * cos - b * sin;
        out[h * width + second] = a * sin + b * cos;
      }
    }
  }

  RopeParams params_;
  bool interleaved_;
  bool fixed_;
  RopeFrequencies frequencies_;
};

absl::StatusOr<std::unique_ptr<Step>> LowerRmsNorm(const LowerContext& context) {
  return std::make_unique<RmsNormStep>(context);
}
absl::StatusOr<std::unique_ptr<Step>> LowerRope(const LowerContext& context) {
  return std::make_unique<RopeStep>(context);
}

}  // namespace

void AddNormRopeKernels(std::vector<CpuKernel>* kernels) {
  kernels->push_back({{"cpu.rms_norm", "rms_norm", "row by row", AcceptsAll}, LowerRmsNorm});
  kernels->push_back(
      {{"cpu.rope", "rope", "one token at a time, all heads with one sine and cosine", AcceptsAll},
       LowerRope});
}

}  // namespace sluice::cpu
