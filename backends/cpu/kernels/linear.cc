// CPU kernels of the linear family: embedding, matmul, qkv_matmul, glu.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "backends/cpu/kernels/activation.h"
#include "backends/cpu/kernels/glu_panels.h"
#include "backends/cpu/kernels/panel.h"
#include "backends/cpu/kernels/product_cost.h"
#include "backends/cpu/step.h"
#include "graph/evaluate.h"
#include "graph/status_macros.h"

namespace sluice::cpu {
namespace {

// The weight matrix in operand `weight` with the bias in operand `bias`, if that is there.
WeightMatrix Matrix(const StepArgs& args, size_t weight, size_t bias, const ProductIsa& isa) {
  WeightMatrix matrix = MatrixOf(args.operands[weight], isa);
  matrix.bias = args.F32OrNull(bias);
  return matrix;
}

PanelSplit SplitOf(const LowerContext& context, size_t weight, int64_t max_rows, Layout layout) {
  return PanelSplit(*context.call.operands[weight], layout, max_rows, context.caps);
}

// For a step whose activations are operand 0, at most `max_rows` rows.
Activations ActivationsOf(const LowerContext& context, int64_t max_rows, Layout layout) {
  return Activations(IsaFor(layout, context.caps), max_rows,
                     context.call.operands[0]->shape.back().factor());
}

class EmbeddingStep : public Step {
 public:
  EmbeddingStep(const LowerContext& context, Layout layout) : isa_(IsaFor(layout, context.caps)) {}

  absl::Status Run(const StepArgs& args) override {
    const TensorView& table = args.operands[0];
    const TensorView& ids = args.operands[1];
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
  MatmulStep(const LowerContext& context, int64_t max_rows, Layout layout)
      : threads_(context.caps.threads()),
        isa_(IsaFor(layout, context.caps)),
        split_(SplitOf(context, 1, max_rows, layout)),
        activations_(ActivationsOf(context, max_rows, layout)) {}
  int64_t scratch_bytes() const override {
    return activations_.scratch_bytes() + FloatBytes(threads_ * split_.scratch_floats());
  }

  absl::Status Run(const StepArgs& args) override {
    const TensorView& x = args.operands[0];
    const TensorView& y = args.results[0];
    const WeightMatrix w = Matrix(args, 1, 2, isa_);
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
  QkvMatmulStep(const LowerContext& context, int64_t max_rows, Layout layout)
      : threads_(context.caps.threads()),
        isa_(IsaFor(layout, context.caps)),
        activations_(ActivationsOf(context, max_rows, layout)) {
    for (size_t i = 0; i < 3; ++i) {
      splits_[i] = SplitOf(context, 1 + i, max_rows, layout);
      panels_ += splits_[i].count();
      thread_floats_ = std::max(thread_floats_, splits_[i].scratch_floats());
    }
  }
  int64_t scratch_bytes() const override {
    return activations_.scratch_bytes() + FloatBytes(threads_ * thread_floats_);
  }

  absl::Status Run(const StepArgs& args) override {
    const TensorView& x = args.operands[0];
    const WeightMatrix weights[3] = {Matrix(args, 1, 4, isa_), Matrix(args, 2, 5, isa_),
                                     Matrix(args, 3, 6, isa_)};
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
  GluStep(const LowerContext& context, int64_t max_rows, Layout layout)
      : threads_(context.caps.threads()),
        isa_(IsaFor(layout, context.caps)),
        split_(SplitOf(context, 1, max_rows, layout)),
        activations_(ActivationsOf(context, max_rows, layout)),
        panels_(split_, layout, max_rows,
                GateNamed(context.call.String("act"), VectorIsaFor(context.caps).math)) {}
  int64_t scratch_bytes() const override {
    return activations_.scratch_bytes() + FloatBytes(threads_ * panels_.scratch_floats());
  }

  absl::Status Run(const StepArgs& args) override {
    const TensorView& x = args.operands[0];
    const TensorView& y = args.results[0];
    const WeightMatrix gate = Matrix(args, 1, 3, isa_);
    const WeightMatrix up = Matrix(args, 2, 4, isa_);
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
  SLUICE_ASSIGN_OR_RETURN(const TensorView x, ViewOf(*context.call.operands[0], context.bounds));
  return std::make_unique<LinearStep>(context, x.rows(), kLayout);
}
template <Layout kLayout>
absl::StatusOr<std::unique_ptr<Step>> LowerEmbedding(const LowerContext& context) {
  return std::make_unique<EmbeddingStep>(context, kLayout);
}

template <Layout kLayout>
void AddKernels(std::vector<CpuKernel>* kernels) {
  const auto add = [&](const char* op, const char* doc, auto lower) {
    kernels->push_back({{.name = absl::StrCat("cpu.", op, ".", KernelSuffix(kLayout)),
                         .op = op,
                         .doc = doc,
                         .accepts = AcceptsWeights<kLayout>,
                         .cost = LinearCost<kLayout>,
                         .layout = LayoutName(kLayout)},
                        lower});
  };
  add("matmul", "panels of the weight, one after the other", Lower<MatmulStep, kLayout>);
  add("qkv_matmul", "panels of the three weights in one loop", Lower<QkvMatmulStep, kLayout>);
  add("glu", "gate and up panels, activation and product while in cache", Lower<GluStep, kLayout>);
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
