// CPU kernels of the norm and rope family.
#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backends/cpu/kernels/kv_cache.h"
#include "backends/cpu/kernels/vector_isa.h"
#include "backends/cpu/step.h"
#include "graph/ops/norm_rope.h"
#include "graph/ops/rope_frequencies.h"
#include "graph/status_macros.h"

namespace sluice::cpu {
namespace {

// Calls `row(first element)` for every row of `x`, many rows to a thread where they are short.
template <typename Row>
void ForEachRow(const StepArgs& args, const TensorView& x, const Row& row) {
  const int64_t n = x.cols();
  args.threads.For(x.rows(), std::max<int64_t>(1, 4096 / n), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) row(r * n);
  });
}

// --- Norms ----------------------------------------------------------------------------------

class RmsNormStep : public Step {
 public:
  explicit RmsNormStep(const LowerContext& context)
      : math_(VectorIsaFor(context.caps).math), eps_(context.call.Float("eps")) {}
  absl::Status Run(const StepArgs& args) override {
    const auto in = As<RmsNormCall>(args);
    ForEachRow(args, in.x, [&](int64_t at) {
      math_.rms_norm(in.x.f32() + at, in.weight.f32(), in.x.cols(), eps_,
                     args.results[0].f32() + at);
    });
    return absl::OkStatus();
  }

 private:
  const VectorMath& math_;
  double eps_;
};

class LayerNormStep : public Step {
 public:
  explicit LayerNormStep(const LowerContext& context)
      : math_(VectorIsaFor(context.caps).math), eps_(context.call.Float("eps")) {}
  absl::Status Run(const StepArgs& args) override {
    const auto in = As<LayerNormCall>(args);
    ForEachRow(args, in.x, [&](int64_t at) {
      math_.layer_norm(in.x.f32() + at, in.weight.f32(), in.bias.f32(), in.x.cols(), eps_,
                       args.results[0].f32() + at);
    });
    return absl::OkStatus();
  }

 private:
  const VectorMath& math_;
  double eps_;
};

class AddRmsNormStep : public Step {
 public:
  explicit AddRmsNormStep(const LowerContext& context)
      : math_(VectorIsaFor(context.caps).math), eps_(context.call.Float("eps")) {}
  absl::Status Run(const StepArgs& args) override {
    const auto in = As<AddRmsNormCall>(args);
    ForEachRow(args, in.a, [&](int64_t at) {
      float* sum = args.results[0].f32() + at;
      math_.add(in.a.f32() + at, in.b.f32() + at, in.a.cols(), sum);
      math_.rms_norm(sum, in.weight.f32(), in.a.cols(), eps_, args.results[1].f32() + at);
    });
    return absl::OkStatus();
  }

 private:
  const VectorMath& math_;
  double eps_;
};

// --- Rotation -------------------------------------------------------------------------------

// Rotates heads as `rope` does, one after the other, with the cosines and sines of their position.
class Rotation {
 public:
  static absl::StatusOr<Rotation> Make(const LowerContext& context) {
    const RopeParams params = RopeParamsOf(context.call);
    SLUICE_ASSIGN_OR_RETURN(RopeFrequencies frequencies, ComputeRopeFrequencies(params, {}));
    return Rotation(context, std::move(frequencies));
  }

  // Working memory of all threads, and of one: `turns`, the cosines and sines of one position.
  int64_t shared_floats() const { return 2 * pairs_; }  // as float64
  int64_t thread_floats() const { return interleaved_ ? 4 * pairs_ : 2 * pairs_; }

  // To be called in every run before the rest. Writes the speed of each pair to shared memory.
  // Every scaling of them is linear, so that frequency factors, if there are any, divide the final
  // ones, too.
  absl::Status Prepare(const float* factors, double* inverse) const {
    for (int64_t i = 0; i < pairs_; ++i) {
      inverse[i] = frequencies_.inverse[static_cast<size_t>(i)];
      if (factors == nullptr) continue;
      if (!std::isfinite(factors[i]) || factors[i] <= 0) {
        return absl::InvalidArgumentError(absl::StrCat("freq_factors[", i, "] is ", factors[i],
                                                       ", expected a finite number above 0"));
      }
      inverse[i] /= double{factors[i]};
    }
    return absl::OkStatus();
  }

  void SetPosition(int32_t position, const double* inverse, float* turns) const {
    float* sines = turns + thread_floats() / 2;
    math_.turns(position, inverse, static_cast<float>(frequencies_.magnitude), pairs_, turns,
                sines);
    if (!interleaved_) return;
    for (int64_t i = pairs_ - 1; i >= 0; --i) {  // in place, as rotate_pairs takes them
      turns[2 * i] = turns[2 * i + 1] = turns[i];
      sines[2 * i + 1] = sines[i];
      sines[2 * i] = -sines[i];
    }
  }

  // One head of `width` elements; `out` may be `in`.
  void Rotate(const float* turns, const float* in, int64_t width, float* out) const {
    const auto rotate = interleaved_ ? math_.rotate_pairs : math_.rotate_halves;
    rotate(in, turns, turns + thread_floats() / 2, pairs_, out);
    if (out != in) std::copy(in + 2 * pairs_, in + width, out + 2 * pairs_);
  }

 private:
  Rotation(const LowerContext& context, RopeFrequencies frequencies)
      : math_(VectorIsaFor(context.caps).math),
        interleaved_(context.call.String("style") == "interleaved"),
        pairs_(context.call.Int("dims") / 2),
        frequencies_(std::move(frequencies)) {}

  const VectorMath& math_;
  bool interleaved_;
  int64_t pairs_;
  RopeFrequencies frequencies_;  // without factors
};

constexpr int64_t kRopeGrain = 4;  // tokens worth a thread

// What the steps with a rotation share: one token after the other, with its cosines and sines.
class RotationStep : public Step {
 public:
  int64_t scratch_bytes() const override {
    return (rotation_.shared_floats() + threads_ * ThreadFloats()) *
           static_cast<int64_t>(sizeof(float));
  }

 protected:
  // `row_floats` is the working memory of one thread besides that for the rotation.
  RotationStep(const LowerContext& context, Rotation rotation, int64_t row_floats)
      : threads_(context.caps.threads()), row_floats_(row_floats), rotation_(std::move(rotation)) {}

  // Calls body(token, turns, row) for every token; `row` has row_floats. `in` is the call, whose
  // positions and frequency factors count.
  template <typename Operands, typename Body>
  absl::Status ForEachToken(const StepArgs& args, const Operands& in, const Body& body) const {
    auto* inverse = reinterpret_cast<double*>(args.scratch);
    SLUICE_RETURN_IF_ERROR(rotation_.Prepare(in.freq_factors.f32(), inverse));
    const int32_t* positions = in.positions.i32();
    args.threads.For(in.positions.elements(), kRopeGrain,
                     [&](int64_t begin, int64_t end, int thread) {
                       float* turns = reinterpret_cast<float*>(args.scratch) +
                                      rotation_.shared_floats() + thread * ThreadFloats();
                       for (int64_t t = begin; t < end; ++t) {
                         rotation_.SetPosition(positions[t], inverse, turns);
                         body(t, turns, turns + rotation_.thread_floats());
                       }
                     });
    return absl::OkStatus();
  }

  const Rotation& rotation() const { return rotation_; }

 private:
  int64_t ThreadFloats() const { return rotation_.thread_floats() + row_floats_; }

  int64_t threads_;
  int64_t row_floats_;
  Rotation rotation_;
};

class RopeStep : public RotationStep {
 public:
  RopeStep(const LowerContext& context, Rotation rotation)
      : RotationStep(context, std::move(rotation), /*row_floats=*/0) {}

  absl::Status Run(const StepArgs& args) override {
    const auto in = As<RopeCall>(args);
    const int64_t heads = in.x.dim(1), width = in.x.dim(2);
    return ForEachToken(args, in, [&](int64_t token, const float* turns, const float*) {
      for (int64_t row = token * heads; row < (token + 1) * heads; ++row) {
        rotation().Rotate(turns, in.x.f32() + row * width, width,
                          args.results[0].f32() + row * width);
      }
    });
  }
};

// --- Norm and rotation of heads -------------------------------------------------------------

// What qk_norm_rope and qk_norm_rope_append share: heads normed where there is a weight, and
// rotated.
class NormRopeStep : public RotationStep {
 protected:
  NormRopeStep(const LowerContext& context, Rotation rotation, int64_t row_floats)
      : RotationStep(context, std::move(rotation), row_floats),
        math_(VectorIsaFor(context.caps).math),
        eps_(context.call.Float("eps")) {}

  // `gain` may be null; `out` may be `in`.
  void Head(const float* turns, const float* gain, const float* in, int64_t width,
            float* out) const {
    if (gain != nullptr) {
      math_.rms_norm(in, gain, width, eps_, out);
      in = out;
    }
    rotation().Rotate(turns, in, width, out);
  }

  // All heads of one token of x [t,heads,width].
  void Heads(const float* turns, const float* gain, const TensorView& x, int64_t token,
             float* out) const {
    const int64_t heads = x.dim(1), width = x.dim(2);
    for (int64_t row = token * heads; row < (token + 1) * heads; ++row) {
      Head(turns, gain, x.f32() + row * width, width, out + row * width);
    }
  }

  const VectorMath& math() const { return math_; }

 private:
  const VectorMath& math_;
  double eps_;
};

class QkNormRopeStep : public NormRopeStep {
 public:
  QkNormRopeStep(const LowerContext& context, Rotation rotation)
      : NormRopeStep(context, std::move(rotation), /*row_floats=*/0) {}

  absl::Status Run(const StepArgs& args) override {
    const auto in = As<QkNormRopeCall>(args);
    return ForEachToken(args, in, [&](int64_t token, const float* turns, const float*) {
      Heads(turns, in.q_norm.f32(), in.q, token, args.results[0].f32());
      Heads(turns, in.k_norm.f32(), in.k, token, args.results[1].f32());
    });
  }
};

class QkNormRopeAppendStep : public NormRopeStep {
 public:
  QkNormRopeAppendStep(const LowerContext& context, Rotation rotation)
      : NormRopeStep(context, std::move(rotation),
                     /*row_floats=*/As<QkNormRopeAppendCall>(context.call).k->shape[2].factor()) {}

  absl::Status Run(const StepArgs& args) override {
    const Cache k_cache(args.results[1], math()), v_cache(args.results[2], math());
    const auto in = As<QkNormRopeAppendCall>(args);
    SLUICE_RETURN_IF_ERROR(CheckSlots(in.slots, k_cache));
    return ForEachToken(args, in, [&](int64_t token, const float* turns, float* row) {
      const int32_t slot = in.slots.i32()[token];
      Heads(turns, in.q_norm.f32(), in.q, token, args.results[0].f32());
      const float* k = in.k.f32() + token * k_cache.heads * k_cache.dim;
      for (int64_t h = 0; h < k_cache.heads; ++h) {
        Head(turns, in.k_norm.f32(), k + h * k_cache.dim, k_cache.dim, row);
        k_cache.Store(slot, h, row);
      }
      v_cache.StoreToken(slot, in.v.f32() + token * v_cache.heads * v_cache.dim);
    });
  }
};

template <typename S>
absl::StatusOr<std::unique_ptr<Step>> Lower(const LowerContext& context) {
  return std::make_unique<S>(context);
}
template <typename S>
absl::StatusOr<std::unique_ptr<Step>> LowerRotation(const LowerContext& context) {
  SLUICE_ASSIGN_OR_RETURN(Rotation rotation, Rotation::Make(context));
  return std::make_unique<S>(context, std::move(rotation));
}

}  // namespace

void AddNormRopeKernels(std::vector<CpuKernel>* kernels) {
  kernels->push_back({{"cpu.rms_norm", "rms_norm", "row by row", AcceptsAll}, Lower<RmsNormStep>});
  kernels->push_back(
      {{"cpu.layer_norm", "layer_norm", "row by row", AcceptsAll}, Lower<LayerNormStep>});
  kernels->push_back({{"cpu.add_rms_norm", "add_rms_norm",
                       "row by row, the norm while the sum is in cache", AcceptsAll},
                      Lower<AddRmsNormStep>});
  kernels->push_back(
      {{"cpu.rope", "rope", "one token at a time, all heads with one table of angles", AcceptsAll},
       LowerRotation<RopeStep>});
  kernels->push_back(
      {{"cpu.qk_norm_rope", "qk_norm_rope",
        "one token at a time, all heads of q and k with one table of angles", AcceptsAll},
       LowerRotation<QkNormRopeStep>});
  kernels->push_back({{"cpu.qk_norm_rope_append", "qk_norm_rope_append",
                       "as cpu.qk_norm_rope, the keys going straight to the cache",
                       AcceptsCaches<QkNormRopeAppendCall>},
                      LowerRotation<QkNormRopeAppendStep>});
}

}  // namespace sluice::cpu
