// CPU kernels of the elementwise family.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backends/cpu/kernels/activation.h"
#include "backends/cpu/step.h"

namespace sluice::cpu {
namespace {

constexpr int64_t kGrain = 4096;  // elements worth a thread

absl::Status AcceptsAll(const Node&, const proto::DeviceCaps&) { return absl::OkStatus(); }

// A step that applies `function(x) -> y` to every element.
template <typename Function>
class MapStep : public Step {
 public:
  explicit MapStep(Function function) : function_(function) {}
  absl::Status Run(const StepArgs& args) override {
    const float* x = args.operands[0].f32();
    float* y = args.results[0].f32();
    args.threads.For(args.results[0].elements(), kGrain, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) y[i] = function_(x[i]);
    });
    return absl::OkStatus();
  }

 private:
  Function function_;
};
template <typename Function>
std::unique_ptr<Step> MakeMap(Function function) {
  return std::make_unique<MapStep<Function>>(function);
}

// A step that applies `function(a, b) -> y`, with b repeated over the leading dimensions of a.
template <typename Function>
class BinaryStep : public Step {
 public:
  explicit BinaryStep(Function function) : function_(function) {}
  absl::Status Run(const StepArgs& args) override {
    const float* a = args.operands[0].f32();
    const float* b = args.operands[1].f32();
    float* y = args.results[0].f32();
    const int64_t period = args.operands[1].elements();
    const int64_t repeats = args.results[0].elements() / period;
    args.threads.For(repeats * period, kGrain, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end;) {  // one period, or what of it lies in the range, at a time
        const int64_t first = i % period;
        const int64_t count = std::min(end - i, period - first);
        for (int64_t j = 0; j < count; ++j) y[i + j] = function_(a[i + j], b[first + j]);
        i += count;
      }
    });
    return absl::OkStatus();
  }

 private:
  Function function_;
};
template <typename Function>
std::unique_ptr<Step> MakeBinary(Function function) {
  return std::make_unique<BinaryStep<Function>>(function);
}

class SoftmaxStep : public Step {
 public:
  absl::Status Run(const StepArgs& args) override {
    const TensorView& x = args.operands[0];
    const int64_t n = x.cols();
    args.threads.For(x.rows(), std::max<int64_t>(1, kGrain / n),
                     [&](int64_t begin, int64_t end, int) {
                       for (int64_t r = begin; r < end; ++r)
                         Row(x.f32() + r * n, args.results[0].f32() + r * n, n);
                     });
    return absl::OkStatus();
  }

 private:
  static void Row(const float* x, float* y, int64_t n) {
    const float max = *std::max_element(x, x + n);
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += y[i] = std::exp(x[i] - max);
    const auto factor = static_cast<float>(1 / sum);
    for (int64_t i = 0; i < n; ++i) y[i] *= factor;
  }
};

absl::StatusOr<std::unique_ptr<Step>> LowerAdd(const LowerContext&) {
  return MakeBinary([](float a, float b) { return a + b; });
}
absl::StatusOr<std::unique_ptr<Step>> LowerMul(const LowerContext&) {
  return MakeBinary([](float a, float b) { return a * b; });
}
absl::StatusOr<std::unique_ptr<Step>> LowerSilu(const LowerContext&) { return MakeMap(Silu); }
absl::StatusOr<std::unique_ptr<Step>> LowerGelu(const LowerContext& context) {
  return MakeMap(context.call.String("approximate") == "tanh" ? GeluTanh : GeluExact);
}
absl::StatusOr<std::unique_ptr<Step>> LowerScale(const LowerContext& context) {
  const auto factor = static_cast<float>(context.call.Float("factor"));
  return MakeMap([factor](float x) { return x * factor; });
}
absl::StatusOr<std::unique_ptr<Step>> LowerSoftmax(const LowerContext&) {
  return std::make_unique<SoftmaxStep>();
}

}  // namespace

void AddElementwiseKernels(std::vector<CpuKernel>* kernels) {
  const auto add = [&](const char* name, const char* op, const char* doc, auto lower) {
    kernels->push_back({{name, op, doc, AcceptsAll}, lower});
  };
  add("cpu.add", "add", "element by element, second operand repeated", LowerAdd);
  add("cpu.mul", "mul", "element by element, second operand repeated", LowerMul);
  add("cpu.silu", "silu", "element by element", LowerSilu);
  add("cpu.gelu", "gelu", "element by element", LowerGelu);
  add("cpu.scale", "scale", "element by element", LowerScale);
  add("cpu.softmax", "softmax", "row by row", LowerSoftmax);
}

}  // namespace sluice::cpu
