// CPU kernels of the linear family: embedding, matmul, qkv_matmul, glu.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "backends/cpu/kernels/activation.h"
#include "backends/cpu/kernels/glu_panels.h"
#include "backends/cpu/kernels/panel.h"
#include "backends/cpu/kernels/product_cost.h"
#include "backends/cpu/step.h"
#include "graph/evaluate.h"
#include "graph/ops/linear.h"
#include "graph/status_macros.h"

namespace sluice::cpu {
namespace {

// A weight with its bias, if that is there.
WeightMatrix Matrix(const TensorView& weight, const TensorView& bias, const ProductIsa& isa) {
  WeightMatrix matrix = MatrixOf(weight, isa);
  matrix.bias = bias.f32();
  return matrix;
}

Activations ActivationsOf(const LowerContext& context, const TensorType& x, int64_t max_rows,
                          Layout layout) {
  return Activations(IsaFor(layout, context.caps), max_rows, x.shape.back().factor());
}

class EmbeddingStep : public Step {
 public:
  EmbeddingStep(const LowerContext& context, Layout layout) : isa_(IsaFor(layout, context.caps)) {}

  absl::Status Run(const StepArgs& args) override {
    const auto in = As<EmbeddingCall>(args);
    const TensorView &table = in.table, &ids = in.ids;
    const TensorView& out = args.results[0];
    for (int64_t i = 0; i < ids.elements(); ++i) {
      const int32_t id = ids.i32()[i];
      if (id < 0 || id >= table.dim(0)) {
        return absl::OutOfRangeError(
            absl::StrCat("id ", id, " at position ", i, " is not in 0 to ", table.dim(0) - 1));
      }
    }
    const WeightMatrix rows = MatrixOf(table, isa_);
    args.threads.For(ids.elements(), 16, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        DecodeRow(rows, ids.i32()[i], out.f32() + i * table.cols());
      }
    });
    return absl::OkStatus();
  }

 private:
  ProductIsa isa_;
};

class MatmulStep : public Step {
 public:
  template <typename T>
  using Call = MatmulCall<T>;
  MatmulStep(const LowerContext& context, const Call<const TensorType*>& in, int64_t max_rows,
             Layout layout)
      : threads_(context.caps.threads()),
        isa_(IsaFor(layout, context.caps)),
        split_(*in.weight, layout, max_rows, context.caps),
        activations_(ActivationsOf(context, *in.x, max_rows, layout)) {}
  int64_t scratch_bytes() const override {
    return activations_.scratch_bytes() + FloatBytes(threads_ * split_.scratch_floats());
  }

  absl::Status Run(const StepArgs& args) override {
    const auto in = As<MatmulCall>(args);
    const TensorView &x = in.x, &y = args.results[0];
    const WeightMatrix w = Matrix(in.weight, in.bias, isa_);
    activations_.Prepare(x.f32(), x.rows(), args.scratch, args.threads);
    const InputRows rows = activations_.Rows(x.f32(), 0, x.rows(), args.scratch);
    float* scratch = reinterpret_cast<float*>(args.scratch + activations_.scratch_bytes());
    args.threads.ForEach(split_.count(), [&](int64_t panel, int thread) {
      const int64_t begin = split_.begin(panel);
      MultiplyPanel(w, begin, split_.end(panel), rows, y.f32() + begin, y.cols(),
                    scratch + thread * split_.scratch_floats());
    });
    return absl::OkStatus();
  }

 private:
  int64_t threads_;
  ProductIsa isa_;
  PanelSplit split_;
  Activations activations_;
};

// The panels of all three weights in one loop, so that threads wait for each other once.
class QkvMatmulStep : public Step {
 public:
  template <typename T>
  using Call = QkvMatmulCall<T>;
  QkvMatmulStep(const LowerContext& context, const Call<const TensorType*>& in, int64_t max_rows,
                Layout layout)
      : threads_(context.caps.threads()),
        isa_(IsaFor(layout, context.caps)),
        activations_(ActivationsOf(context, *in.x, max_rows, layout)) {
    const TensorType* const weights[3] = {in.q_weight, in.k_weight, in.v_weight};
    for (size_t i = 0; i < 3; ++i) {
      splits_[i] = PanelSplit(*weights[i], layout, max_rows, context.caps);
      panels_ += splits_[i].count();
      thread_floats_ = std::max(thread_floats_, splits_[i].scratch_floats());
    }
  }
  int64_t scratch_bytes() const override {
    return activations_.scratch_bytes() + FloatBytes(threads_ * thread_floats_);
  }

  absl::Status Run(const StepArgs& args) override {
    const auto in = As<QkvMatmulCall>(args);
    const TensorView& x = in.x;
    const WeightMatrix weights[3] = {Matrix(in.q_weight, in.q_bias, isa_),
                                     Matrix(in.k_weight, in.k_bias, isa_),
                                     Matrix(in.v_weight, in.v_bias, isa_)};
    activations_.Prepare(x.f32(), x.rows(), args.scratch, args.threads);
    const InputRows rows = activations_.Rows(x.f32(), 0, x.rows(), args.scratch);
    float* scratch = reinterpret_cast<float*>(args.scratch + activations_.scratch_bytes());
    args.threads.ForEach(panels_, [&](int64_t panel, int thread) {
      size_t i = 0;
      for (; panel >= splits_[i].count(); ++i) panel -= splits_[i].count();
      const int64_t begin = splits_[i].begin(panel);
      MultiplyPanel(weights[i], begin, splits_[i].end(panel), rows, args.results[i].f32() + begin,
                    weights[i].rows, scratch + thread * thread_floats_);
    });
    return absl::OkStatus();
  }

 private:
  int64_t threads_;
  ProductIsa isa_;
  Activations activations_;
  PanelSplit splits_[3];
  int64_t panels_ = 0;
  int64_t thread_floats_ = 0;
};

class GluStep : public Step {
 public:
  template <typename T>
  using Call = GluCall<T>;
  GluStep(const LowerContext& context, const Call<const TensorType*>& in, int64_t max_rows,
          Layout layout)
      : threads_(context.caps.threads()),
        isa_(IsaFor(layout, context.caps)),
        split_(*in.gate, layout, max_rows, context.caps),
        activations_(ActivationsOf(context, *in.x, max_rows, layout)),
        panels_(split_, layout, max_rows,
                GateNamed(context.call.String("act"), VectorIsaFor(context.caps).math)) {}
  int64_t scratch_bytes() const override {
    return activations_.scratch_bytes() + FloatBytes(threads_ * panels_.scratch_floats());
  }

  absl::Status Run(const StepArgs& args) override {
    const auto in = As<GluCall>(args);
    const TensorView &x = in.x, &y = args.results[0];
    const WeightMatrix gate = Matrix(in.gate, in.gate_bias, isa_);
    const WeightMatrix up = Matrix(in.up, in.up_bias, isa_);
    activations_.Prepare(x.f32(), x.rows(), args.scratch, args.threads);
    const InputRows rows = activations_.Rows(x.f32(), 0, x.rows(), args.scratch);
    float* scratch = reinterpret_cast<float*>(args.scratch + activations_.scratch_bytes());
    args.threads.ForEach(split_.count(), [&](int64_t panel, int thread) {
      panels_.Multiply(gate, up, panel, rows, y.f32(), y.cols(),
                       scratch + thread * panels_.scratch_floats());
    });
    return absl::OkStatus();
  }

 private:
  int64_t threads_;
  ProductIsa isa_;
  PanelSplit split_;
  Activations activations_;
  GluPanels panels_;
};

template <typename LinearStep, Layout kLayout>
absl::StatusOr<std::unique_ptr<Step>> Lower(const LowerContext& context) {
  const auto in = As<LinearStep::template Call>(context.call);
  SLUICE_ASSIGN_OR_RETURN(const TensorView x, ViewOf(*in.x, context.bounds));
  return std::make_unique<LinearStep>(context, in, x.rows(), kLayout);
}
template <Layout kLayout>
absl::StatusOr<std::unique_ptr<Step>> LowerEmbedding(const LowerContext& context) {
  return std::make_unique<EmbeddingStep>(context, kLayout);
}

template <typename LinearStep, Layout kLayout>
CpuKernel LinearKernel(const char* op, const char* doc) {
  return {{.name = absl::StrCat("cpu.", op, ".", KernelSuffix(kLayout)),
           .op = op,
           .doc = doc,
           .accepts = AcceptsWeights<kLayout>,
           .cost = LinearCost<LinearStep::template Call, kLayout>,
           .layout = LayoutName(kLayout)},
          Lower<LinearStep, kLayout>};
}

template <Layout kLayout>
void AddKernels(std::vector<CpuKernel>* kernels) {
  kernels->push_back(
      LinearKernel<MatmulStep, kLayout>("matmul", "panels of the weight, one after the other"));
  kernels->push_back(LinearKernel<QkvMatmulStep, kLayout>(
      "qkv_matmul", "panels of the three weights in one loop"));
  kernels->push_back(LinearKernel<GluStep, kLayout>(
      "glu", "gate and up panels, activation and product while in cache"));
}

template <Layout kLayout>
CpuKernel EmbeddingKernel(const char* name) {
  return {{.name = name,
           .op = "embedding",
           .doc = "decodes the chosen rows",
           .accepts = AcceptsWeights<kLayout>,
           .layout = LayoutName(kLayout)},
          LowerEmbedding<kLayout>};
}

}  // namespace

void AddLinearKernels(std::vector<CpuKernel>* kernels) {
  kernels->push_back(EmbeddingKernel<Layout::kFile>("cpu.embedding"));
  kernels->push_back(EmbeddingKernel<Layout::kX16>("cpu.embedding.x16"));
  AddKernels<Layout::kFile>(kernels);
  AddKernels<Layout::kX16>(kernels);
}

}  // namespace sluice::cpu
