// CPU kernels of the elementwise family.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "backends/cpu/kernels/vector_isa.h"
#include "backends/cpu/step.h"
#include "graph/ops/elementwise.h"
#include "graph/status_macros.h"

namespace sluice::cpu {
namespace {

constexpr int64_t kGrain = 4096;  // elements worth a thread

// A step that applies `function(x, n, y)` to pieces of the tensor.
template <typename Function>
class MapStep : public Step {
 public:
  explicit MapStep(Function function) : function_(function) {}
  absl::Status Run(const StepArgs& args) override {
    const float* x = As<UnaryCall>(args).x.f32();
    float* y = args.results[0].f32();
    args.threads.For(args.results[0].elements(), kGrain, [&](int64_t begin, int64_t end, int) {
      function_(x + begin, end - begin, y + begin);
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

// A step that applies `function(a, b, n, y)`, with b repeated over the leading dimensions of a.
class BinaryStep : public Step {
 public:
  using Function = void (*)(const float* a, const float* b, int64_t n, float* y);
  explicit BinaryStep(Function function) : function_(function) {}
  absl::Status Run(const StepArgs& args) override {
    const auto in = As<BinaryCall>(args);
    const float* a = in.a.f32();
    const float* b = in.b.f32();
    float* y = args.results[0].f32();
    const int64_t period = in.b.elements();
    const int64_t repeats = args.results[0].elements() / period;
    args.threads.For(repeats * period, kGrain, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end;) {  // one period, or what of it lies in the range, at a time
        const int64_t first = i % period;
        const int64_t count = std::min(end - i, period - first);
        function_(a + i, b + first, count, y + i);
        i += count;
      }
    });
    return absl::OkStatus();
  }

 private:
  Function function_;
};

class SoftmaxStep : public Step {
 public:
  explicit SoftmaxStep(const VectorMath& math) : math_(math) {}
  absl::Status Run(const StepArgs& args) override {
    const TensorView& x = As<UnaryCall>(args).x;
    const int64_t n = x.cols();
    args.threads.For(x.rows(), std::max<int64_t>(1, kGrain / n),
                     [&](int64_t begin, int64_t end, int) {
                       for (int64_t r = begin; r < end; ++r) {
                         math_.softmax(x.f32() + r * n, n, args.results[0].f32() + r * n);
                       }
                     });
    return absl::OkStatus();
  }

 private:
  const VectorMath& math_;
};

// Each thread adds up some columns of all rows, so that a sum does not depend on how many threads
// there are or on which other sequences are in the step.
class MeanPoolStep : public Step {
 public:
  explicit MeanPoolStep(const VectorMath& math) : math_(math) {}
  absl::Status Run(const StepArgs& args) override {
    const auto in = As<MeanPoolCall>(args);
    const TensorView& out = args.results[0];
    SLUICE_RETURN_IF_ERROR(CheckSequences(in.seq_ids, out.dim(0)));
    const int64_t grain = std::max<int64_t>(16, kGrain / in.x.rows());
    args.threads.For(out.cols(), grain,
                     [&](int64_t begin, int64_t end, int) { Pool(in, begin, end - begin, out); });
    return absl::OkStatus();
  }

 private:
  static absl::Status CheckSequences(const TensorView& seq_ids, int64_t sequences) {
    for (int64_t t = 0; t < seq_ids.elements(); ++t) {
      const int32_t s = seq_ids.i32()[t];
      if (s >= 0 && s < sequences) continue;
      return absl::OutOfRangeError(
          absl::StrCat("sequence ", s, " of token ", t, " is not in 0 to ", sequences - 1));
    }
    return absl::OkStatus();
  }

  // Columns `first` to `first + n`.
  void Pool(const MeanPoolCall<const TensorView&>& in, int64_t first, int64_t n,
            const TensorView& out) const {
    const auto row = [first](const TensorView& view, int64_t i) {
      return view.f32() + i * view.cols() + first;
    };
    for (int64_t s = 0; s < out.rows(); ++s) std::fill_n(row(out, s), n, 0.0F);
    for (int64_t t = 0; t < in.x.rows(); ++t) {
      float* sum = row(out, in.seq_ids.i32()[t]);
      math_.add(sum, row(in.x, t), n, sum);
    }
    for (int64_t s = 0; s < out.rows(); ++s) {
      const int32_t length = in.lens.i32()[s];
      math_.scale(row(out, s), length > 0 ? 1 / static_cast<float>(length) : 0, n, row(out, s));
    }
  }

  const VectorMath& math_;
};

const VectorMath& MathFor(const LowerContext& context) { return VectorIsaFor(context.caps).math; }

void GeluExact(const float* x, int64_t n, float* y) {
  constexpr float kInverseSqrt2 = 0.7071067811865476F;
  for (int64_t i = 0; i < n; ++i) y[i] = 0.5F * x[i] * (1 + std::erf(x[i] * kInverseSqrt2));
}

absl::StatusOr<std::unique_ptr<Step>> LowerAdd(const LowerContext& context) {
  return std::make_unique<BinaryStep>(MathFor(context).add);
}
absl::StatusOr<std::unique_ptr<Step>> LowerMul(const LowerContext& context) {
  return std::make_unique<BinaryStep>(MathFor(context).mul);
}
absl::StatusOr<std::unique_ptr<Step>> LowerSilu(const LowerContext& context) {
  return MakeMap(MathFor(context).silu);
}
absl::StatusOr<std::unique_ptr<Step>> LowerGelu(const LowerContext& context) {
  const bool is_tanh = context.call.String("approximate") == "tanh";
  return MakeMap(is_tanh ? MathFor(context).gelu_tanh : GeluExact);
}
absl::StatusOr<std::unique_ptr<Step>> LowerScale(const LowerContext& context) {
  const auto factor = static_cast<float>(context.call.Float("factor"));
  return MakeMap([scale = MathFor(context).scale, factor](const float* x, int64_t n, float* y) {
    scale(x, factor, n, y);
  });
}
absl::StatusOr<std::unique_ptr<Step>> LowerSoftmax(const LowerContext& context) {
  return std::make_unique<SoftmaxStep>(MathFor(context));
}

absl::StatusOr<std::unique_ptr<Step>> LowerMeanPool(const LowerContext& context) {
  return std::make_unique<MeanPoolStep>(MathFor(context));
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
  add("cpu.mean_pool", "mean_pool", "some columns of all rows at a time", LowerMeanPool);
}

}  // namespace sluice::cpu
