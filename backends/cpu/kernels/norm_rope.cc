// CPU kernels of the norm and rope family.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backends/cpu/kernels/kv_cache.h"
#include "backends/cpu/step.h"
#include "graph/ops/rope_frequencies.h"
#include "graph/status_macros.h"

namespace sluice::cpu {
namespace {

absl::Status AcceptsAll(const Node&, const proto::DeviceCaps&) { return absl::OkStatus(); }

// Rows of `n` elements that are worth a thread.
int64_t RowGrain(int64_t n) { return std::max<int64_t>(1, 4096 / n); }

// --- Norms ----------------------------------------------------------------------------------

double SumOfSquares(const float* x, int64_t n) {
  // Eight partial sums: a single one waits for each addition.
  double sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int j = 0; j < 8; ++j) sums[j] += double{x[i + j]} * double{x[i + j]};
  }
  for (; i < n; ++i) sums[0] += double{x[i]} * double{x[i]};
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

// `weight` may be null; y may be x.
void NormaliseRow(const float* x, const float* weight, int64_t n, double eps, float* y) {
  const double mean_square = SumOfSquares(x, n) / static_cast<double>(n);
  const auto scale = static_cast<float>(1 / std::sqrt(mean_square + eps));
  if (weight == nullptr) {
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] * scale;
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] * scale * weight[i];
  }
}

class RmsNormStep : public Step {
 public:
  explicit RmsNormStep(const LowerContext& context) : eps_(context.call.Float("eps")) {}
  absl::Status Run(const StepArgs& args) override {
    const TensorView& x = args.operands[0];
    const float* weight = args.F32OrNull(1);
    const int64_t n = x.cols();
    args.threads.For(x.rows(), RowGrain(n), [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        NormaliseRow(x.f32() + r * n, weight, n, eps_, args.results[0].f32() + r * n);
      }
    });
    return absl::OkStatus();
  }

 private:
  double eps_;
};

// `sum` may be a.
void AddRows(const float* a, const float* b, int64_t n, float* sum) {
  for (int64_t i = 0; i < n; ++i) sum[i] = a[i] + b[i];
}

class AddRmsNormStep : public Step {
 public:
  explicit AddRmsNormStep(const LowerContext& context) : eps_(context.call.Float("eps")) {}
  absl::Status Run(const StepArgs& args) override {
    const float* weight = args.F32OrNull(2);
    const int64_t n = args.operands[0].cols();
    args.threads.For(args.operands[0].rows(), RowGrain(n), [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        const float* a = args.operands[0].f32() + r * n;
        const float* b = args.operands[1].f32() + r * n;
        float* sum = args.results[0].f32() + r * n;
        AddRows(a, b, n, sum);
        NormaliseRow(sum, weight, n, eps_, args.results[1].f32() + r * n);
      }
    });
    return absl::OkStatus();
  }

 private:
  double eps_;
};

// --- Rotation -------------------------------------------------------------------------------

// Rotates heads as `rope` does, one after the other, with the cosines and sines of their position.
class Rotation {
 public:
  // `factors` is the operand with the frequency factors.
  Rotation(const LowerContext& context, size_t factors)
      : params_(RopeParamsOf(context.call)),
        interleaved_(context.call.String("style") == "interleaved"),
        factors_(factors),
        fixed_(context.node.operand(factors) == nullptr ||
               context.node.operand(factors)->kind() == Value::Kind::kWeight) {}

  // To be called in every run before the rest. Frequency factors that are a weight are the same in
  // every step: the table is made once.
  absl::Status Prepare(const StepArgs& args) {
    if (fixed_ && !frequencies_.inverse.empty()) return absl::OkStatus();
    absl::Span<const float> factors;
    if (const float* data = args.F32OrNull(factors_); data != nullptr) {
      factors = {data, static_cast<size_t>(params_.dims / 2)};
    }
    SLUICE_ASSIGN_OR_RETURN(frequencies_, ComputeRopeFrequencies(params_, factors));
    return absl::OkStatus();
  }

  // Working memory of one thread: `turns`, the cosines and then the sines of one position.
  int64_t scratch_floats() const { return params_.dims; }

  // Angles are computed in float64: at position 100,000 a float32 angle is off by 0.004 radians.
  void SetPosition(int32_t position, float* turns) const {
    const int64_t pairs = params_.dims / 2;
    for (int64_t i = 0; i < pairs; ++i) {
      const double angle = position * frequencies_.inverse[static_cast<size_t>(i)];
      turns[i] = static_cast<float>(std::cos(angle) * frequencies_.magnitude);
      turns[pairs + i] = static_cast<float>(std::sin(angle) * frequencies_.magnitude);
    }
  }

  // One head of `width` elements; `out` may be `in`.
  void Rotate(const float* turns, const float* in, int64_t width, float* out) const {
    const int64_t pairs = params_.dims / 2;
    const float* cosines = turns;
    const float* sines = turns + pairs;
    if (interleaved_) {
      for (int64_t i = 0; i < pairs; ++i) {
        const float a = in[2 * i], b = in[2 * i + 1];
        out[2 * i] = a * cosines[i] - b * sines[i];
        out[2 * i + 1] = a * sines[i] + b * cosines[i];
      }
    } else {
      for (int64_t i = 0; i < pairs; ++i) {
        const float a = in[i], b = in[pairs + i];
        out[i] = a * cosines[i] - b * sines[i];
        out[pairs + i] = a * sines[i] + b * cosines[i];
      }
    }
    if (out != in) std::copy(in + params_.dims, in + width, out + params_.dims);
  }

 private:
  RopeParams params_;
  bool interleaved_;
  size_t factors_;
  bool fixed_;
  RopeFrequencies frequencies_;
};

constexpr int64_t kRopeGrain = 4;  // tokens worth a thread

class RopeStep : public Step {
 public:
  explicit RopeStep(const LowerContext& context)
      : threads_(context.caps.threads()), rotation_(context, /*factors=*/2) {}
  int64_t scratch_bytes() const override {
    return threads_ * rotation_.scratch_floats() * static_cast<int64_t>(sizeof(float));
  }

  absl::Status Run(const StepArgs& args) override {
    SLUICE_RETURN_IF_ERROR(rotation_.Prepare(args));
    const TensorView& x = args.operands[0];
    const int64_t heads = x.dim(1), width = x.dim(2);
    args.threads.For(x.dim(0), kRopeGrain, [&](int64_t begin, int64_t end, int thread) {
      float* turns = reinterpret_cast<float*>(args.scratch) + thread * rotation_.scratch_floats();
      for (int64_t t = begin; t < end; ++t) {
        rotation_.SetPosition(args.operands[1].i32()[t], turns);
        for (int64_t row = t * heads; row < (t + 1) * heads; ++row) {
          rotation_.Rotate(turns, x.f32() + row * width, width,
                           args.results[0].f32() + row * width);
        }
      }
    });
    return absl::OkStatus();
  }

 private:
  int64_t threads_;
  Rotation rotation_;
};

// --- Norm and rotation of heads -------------------------------------------------------------

// What qk_norm_rope and qk_norm_rope_append share: one token's heads, normed where there is a
// weight, and rotated.
class NormRopeStep : public Step {
 public:
  int64_t scratch_bytes() const override {
    return threads_ * ThreadFloats() * static_cast<int64_t>(sizeof(float));
  }

 protected:
  // Operands q_norm, k_norm and freq_factors are q_norm, q_norm + 1 and q_norm + 2. `row_floats`
  // is the working memory of one thread besides that for the rotation.
  NormRopeStep(const LowerContext& context, size_t q_norm, int64_t row_floats)
      : q_norm_(q_norm),
        threads_(context.caps.threads()),
        row_floats_(row_floats),
        eps_(context.call.Float("eps")),
        rotation_(context, q_norm + 2) {}

  // Calls body(token, turns, q_norm, k_norm, row) for every token; `row` has row_floats.
  template <typename Body>
  absl::Status ForEachToken(const StepArgs& args, const TensorView& positions, const Body& body) {
    SLUICE_RETURN_IF_ERROR(rotation_.Prepare(args));
    const float* q_norm = args.F32OrNull(q_norm_);
    const float* k_norm = args.F32OrNull(q_norm_ + 1);
    args.threads.For(positions.elements(), kRopeGrain, [&](int64_t begin, int64_t end, int thread) {
      float* turns = reinterpret_cast<float*>(args.scratch) + thread * ThreadFloats();
      float* row = turns + rotation_.scratch_floats();
      for (int64_t t = begin; t < end; ++t) {
        rotation_.SetPosition(positions.i32()[t], turns);
        body(t, turns, q_norm, k_norm, row);
      }
    });
    return absl::OkStatus();
  }

  // `gain` may be null; `out` may be `in`.
  void Head(const float* turns, const float* gain, const float* in, int64_t width,
            float* out) const {
    if (gain != nullptr) {
      NormaliseRow(in, gain, width, eps_, out);
      in = out;
    }
    rotation_.Rotate(turns, in, width, out);
  }

  // All heads of one token of x [t,heads,width].
  void Heads(const float* turns, const float* gain, const TensorView& x, int64_t token,
             float* out) const {
    const int64_t heads = x.dim(1), width = x.dim(2);
    for (int64_t row = token * heads; row < (token + 1) * heads; ++row) {
      Head(turns, gain, x.f32() + row * width, width, out + row * width);
    }
  }

 private:
  int64_t ThreadFloats() const { return rotation_.scratch_floats() + row_floats_; }

  size_t q_norm_;
  int64_t threads_;
  int64_t row_floats_;
  double eps_;
  Rotation rotation_;
};

class QkNormRopeStep : public NormRopeStep {
 public:
  explicit QkNormRopeStep(const LowerContext& context)
      : NormRopeStep(context, /*q_norm=*/3, /*row_floats=*/0) {}

  absl::Status Run(const StepArgs& args) override {
    return ForEachToken(
        args, args.operands[2],
        [&](int64_t token, const float* turns, const float* q_norm, const float* k_norm, float*) {
          Heads(turns, q_norm, args.operands[0], token, args.results[0].f32());
          Heads(turns, k_norm, args.operands[1], token, args.results[1].f32());
        });
  }
};

class QkNormRopeAppendStep : public NormRopeStep {
 public:
  explicit QkNormRopeAppendStep(const LowerContext& context)
      : NormRopeStep(context, /*q_norm=*/7,
                     /*row_floats=*/context.call.operands[3]->shape[2].factor()) {}

  absl::Status Run(const StepArgs& args) override {
    const Cache k_cache(args.results[1]), v_cache(args.results[2]);
    const TensorView& slots = args.operands[6];
    SLUICE_RETURN_IF_ERROR(CheckSlots(slots, k_cache));
    return ForEachToken(
        args, args.operands[5],
        [&](int64_t token, const float* turns, const float* q_norm, const float* k_norm,
            float* row) {
          Heads(turns, q_norm, args.operands[2], token, args.results[0].f32());
          const float* k = args.operands[3].f32() + token * k_cache.heads * k_cache.dim;
          for (int64_t h = 0; h < k_cache.heads; ++h) {
            Head(turns, k_norm, k + h * k_cache.dim, k_cache.dim, row);
            k_cache.Store(slots.i32()[token], h, row);
          }
          v_cache.StoreToken(slots.i32()[token],
                             args.operands[4].f32() + token * v_cache.heads * v_cache.dim);
        });
  }
};

absl::Status AcceptsNormRopeAppend(const Node& node, const proto::DeviceCaps&) {
  return AcceptsCaches(node, 0);
}

template <typename S>
absl::StatusOr<std::unique_ptr<Step>> Lower(const LowerContext& context) {
  return std::make_unique<S>(context);
}

}  // namespace

void AddNormRopeKernels(std::vector<CpuKernel>* kernels) {
  kernels->push_back({{"cpu.rms_norm", "rms_norm", "row by row", AcceptsAll}, Lower<RmsNormStep>});
  kernels->push_back({{"cpu.add_rms_norm", "add_rms_norm",
                       "row by row, the norm while the sum is in cache", AcceptsAll},
                      Lower<AddRmsNormStep>});
  kernels->push_back(
      {{"cpu.rope", "rope", "one token at a time, all heads with one table of angles", AcceptsAll},
       Lower<RopeStep>});
  kernels->push_back(
      {{"cpu.qk_norm_rope", "qk_norm_rope",
        "one token at a time, all heads of q and k with one table of angles", AcceptsAll},
       Lower<QkNormRopeStep>});
  kernels->push_back(
      {{"cpu.qk_norm_rope_append", "qk_norm_rope_append",
        "as cpu.qk_norm_rope, the keys going straight to the cache", AcceptsNormRopeAppend},
       Lower<QkNormRopeAppendStep>});
}

}  // namespace sluice::cpu
