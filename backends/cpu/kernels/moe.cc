// CPU kernels of the mixture-of-experts family. Expert products come in two orders: expert-major,
// one product per expert with all rows that chose it, for many tokens; and token-major, one product
// per token and slot, for few.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "backends/cpu/kernels/activation.h"
#include "backends/cpu/kernels/glu_panels.h"
#include "backends/cpu/kernels/panel.h"
#include "backends/cpu/kernels/product_cost.h"
#include "backends/cpu/step.h"
#include "graph/ops/expert_tiles.h"
#include "graph/status_macros.h"

namespace sluice::cpu {
namespace {

// The router's sum is clamped from below, as in the reference implementation of these models.
constexpr float kMinWeightSum = 6.103515625e-5f;  // 2^-14, the smallest normal f16

class TopkSoftmaxStep : public Step {
 public:
  explicit TopkSoftmaxStep(const LowerContext& context)
      : k_(context.call.Int("k")),
        renormalise_(context.call.Bool("renorm")),
        sigmoid_(context.call.String("gating") == "sigmoid"),
        scale_(static_cast<float>(context.call.Float("scale"))),
        experts_(context.call.operands[0]->shape[1].factor()),
        threads_(context.caps.threads()),
        math_(VectorIsaFor(context.caps).math) {}
  int64_t scratch_bytes() const override { return FloatBytes(threads_ * ThreadFloats()); }

  absl::Status Run(const StepArgs& args) override {
    const TensorView& logits = args.operands[0];
    const float* bias = args.F32OrNull(1);
    for (int64_t t = 0; t < logits.dim(0); ++t) {
      SLUICE_RETURN_IF_ERROR(CheckLogits(logits.f32() + t * experts_, t));
    }
    args.threads.For(logits.dim(0), 16, [&](int64_t begin, int64_t end, int thread) {
      float* scratch = reinterpret_cast<float*>(args.scratch) + thread * ThreadFloats();
      for (int64_t t = begin; t < end; ++t) {
        RouteToken(logits.f32() + t * experts_, bias, scratch, args.results[0].f32() + t * k_,
                   args.results[1].i32() + t * k_);
      }
    });
    return absl::OkStatus();
  }

 private:
  // Gate values, and the same with the selection bias.
  int64_t ThreadFloats() const { return 2 * experts_; }

  // A router that says NaN or infinity has no first choice: better an error than a guess.
  absl::Status CheckLogits(const float* row, int64_t token) const {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    float max = -kInfinity;
    for (int64_t e = 0; e < experts_; ++e) {
      if (!(row[e] < kInfinity)) {
        return absl::InvalidArgumentError(absl::StrCat("the router logit of token ", token,
                                                       ", expert ", e, " is ", row[e],
                                                       ", expected a finite number"));
      }
      max = std::max(max, row[e]);
    }
    if (max > -kInfinity || sigmoid_) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("all router logits of token ", token, " are -inf, expected finite numbers"));
  }

  void RouteToken(const float* logits, const float* bias, float* gates, float* weights,
                  int32_t* ids) const {
    Gate(logits, gates);
    float* scores = gates + experts_;
    for (int64_t e = 0; e < experts_; ++e) scores[e] = gates[e] + (bias ? bias[e] : 0);
    float sum = 0;
    for (int64_t j = 0; j < k_; ++j) {  // k is small: a selection beats a sort
      const int64_t best = std::max_element(scores, scores + experts_) - scores;
      ids[j] = static_cast<int32_t>(best);
      weights[j] = gates[best];
      sum += gates[best];
      scores[best] = -std::numeric_limits<float>::infinity();
    }
    const float factor = renormalise_ ? scale_ / std::max(sum, kMinWeightSum) : scale_;
    for (int64_t j = 0; j < k_; ++j) weights[j] *= factor;
  }

  void Gate(const float* logits, float* gates) const {
    if (sigmoid_) {
      for (int64_t e = 0; e < experts_; ++e) gates[e] = 1.0f / (1.0f + std::exp(-logits[e]));
      return;
    }
    math_.softmax(logits, experts_, gates);
  }

  int64_t k_;
  bool renormalise_, sigmoid_;
  float scale_;
  int64_t experts_;
  int64_t threads_;
  const VectorMath& math_;
};

absl::Status CheckExpertIds(const TensorView& ids, int64_t experts) {
  for (int64_t slot = 0; slot < ids.elements(); ++slot) {
    const int32_t id = ids.i32()[slot];
    if (id < 0 || id >= experts) {
      return absl::OutOfRangeError(absl::StrCat("expert id ", id, " of token ", slot / ids.dim(1),
                                                " is not in 0 to ", experts - 1));
    }
  }
  return absl::OkStatus();
}

class MoeGatherStep : public Step {
 public:
  explicit MoeGatherStep(const LowerContext& context) : experts_(context.call.Int("experts")) {}
  int64_t scratch_bytes() const override {
    return experts_ * static_cast<int64_t>(sizeof(int32_t));
  }

  absl::Status Run(const StepArgs& args) override {
    const TensorView& x = args.operands[0];
    const TensorView& ids = args.operands[1];
    const TensorView& rows = args.results[0];
    int32_t* row_of = args.results[1].i32();
    SLUICE_RETURN_IF_ERROR(CheckExpertIds(ids, experts_));
    CountRows(ids, args.results[2].i32());
    int32_t* next = reinterpret_cast<int32_t*>(args.scratch);
    std::copy_n(args.results[2].i32(), experts_, next);
    for (int64_t slot = 0; slot < ids.elements(); ++slot) row_of[slot] = next[ids.i32()[slot]]++;

    const int64_t used = ids.dim(1);
    args.threads.For(ids.elements(), 16, [&](int64_t begin, int64_t end, int) {
      for (int64_t slot = begin; slot < end; ++slot) {
        std::copy_n(x.f32() + slot / used * x.cols(), x.cols(),
                    rows.f32() + row_of[slot] * x.cols());
      }
    });
    return absl::OkStatus();
  }

 private:
  // offsets[e] = number of rows of the experts before e.
  void CountRows(const TensorView& ids, int32_t* offsets) const {
    std::fill_n(offsets, experts_ + 1, 0);
    for (int64_t slot = 0; slot < ids.elements(); ++slot) ++offsets[ids.i32()[slot] + 1];
    for (int64_t e = 0; e < experts_; ++e) offsets[e + 1] += offsets[e];
  }

  int64_t experts_;
};

// --- Expert products ------------------------------------------------------------------------

// Rows first_in.. of x meet one expert and give rows first_out.. of the result.
struct ExpertRows {
  int64_t expert;
  int64_t first_in;
  int64_t first_out;
  int64_t rows;
};

// The rows of an expert stand together: operand 2 or 3 has the experts' offsets.
class GroupedExperts {
 public:
  static absl::StatusOr<GroupedExperts> Make(const LowerContext& context) {
    SLUICE_ASSIGN_OR_RETURN(const int64_t rows,
                            context.bounds.Evaluate(context.call.operands[0]->shape[0]));
    return GroupedExperts(context.call.operands[1]->shape[0].factor(), rows);
  }

  int64_t max_rows() const { return max_rows_; }  // of one expert
  // The list of used experts, rounded up to a cache line.
  int64_t scratch_bytes() const { return (experts_ * 4 + 63) / 64 * 64; }

  // Calls prepare(first, count) for the rows of x that meet an expert together, for all of them,
  // then body(ExpertRows, panel, thread) for each of `panels` of every used expert.
  template <typename Prepare, typename Body>
  absl::Status ForEachPanel(const StepArgs& args, const TensorView& offsets_view, int64_t panels,
                            const Prepare& prepare, const Body& body) const {
    const int32_t* offsets = offsets_view.i32();
    SLUICE_RETURN_IF_ERROR(CheckOffsets(offsets, args.operands[0].rows()));
    int32_t* used = reinterpret_cast<int32_t*>(args.scratch);
    int64_t used_count = 0;
    for (int64_t e = 0; e < experts_; ++e) {
      if (offsets[e + 1] > offsets[e]) used[used_count++] = static_cast<int32_t>(e);
    }
    args.threads.ForEach(used_count, [&](int64_t i, int) {
      const int32_t e = used[i];
      prepare(offsets[e], offsets[e + 1] - offsets[e]);
    });
    args.threads.ForEach(used_count * panels, [&](int64_t task, int thread) {
      const int32_t e = used[task / panels];
      body(ExpertRows{e, offsets[e], offsets[e], offsets[e + 1] - offsets[e]}, task % panels,
           thread);
    });
    return absl::OkStatus();
  }

 private:
  GroupedExperts(int64_t experts, int64_t max_rows) : experts_(experts), max_rows_(max_rows) {}

  absl::Status CheckOffsets(const int32_t* offsets, int64_t rows) const {
    if (offsets[0] != 0 || offsets[experts_] != rows) {
      return absl::OutOfRangeError(absl::StrCat("the experts' rows are ", offsets[0], " to ",
                                                offsets[experts_], ", expected 0 to ", rows));
    }
    for (int64_t e = 0; e < experts_; ++e) {
      if (offsets[e + 1] < offsets[e]) {
        return absl::OutOfRangeError(absl::StrCat("the rows of expert ", e, " are ", offsets[e],
                                                  " to ", offsets[e + 1], ", expected ascending"));
      }
    }
    return absl::OkStatus();
  }

  int64_t experts_;
  int64_t max_rows_;
};

// Each slot of a token has its own expert: operand 2 or 3 has the ids.
class IndexedExperts {
 public:
  static absl::StatusOr<IndexedExperts> Make(const LowerContext& context) {
    return IndexedExperts(context.call.operands[1]->shape[0].factor());
  }

  int64_t max_rows() const { return 1; }
  int64_t scratch_bytes() const { return 0; }

  template <typename Prepare, typename Body>
  absl::Status ForEachPanel(const StepArgs& args, const TensorView& ids, int64_t panels,
                            const Prepare& prepare, const Body& body) const {
    SLUICE_RETURN_IF_ERROR(CheckExpertIds(ids, experts_));
    args.threads.For(args.operands[0].rows(), 16, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) prepare(row, 1);
    });
    const int64_t slots_per_row = args.operands[0].rows() == ids.rows() ? ids.cols() : 1;
    args.threads.ForEach(ids.elements() * panels, [&](int64_t task, int thread) {
      const int64_t slot = task / panels;
      body(ExpertRows{ids.i32()[slot], slot / slots_per_row, slot, 1}, task % panels, thread);
    });
    return absl::OkStatus();
  }

 private:
  explicit IndexedExperts(int64_t experts) : experts_(experts) {}

  int64_t experts_;
};

class ExpertTilesStep : public Step {
 public:
  explicit ExpertTilesStep(int64_t most) : most_(most) {}
  absl::Status Run(const StepArgs& args) override {
    return TileExperts(args.operands[0], most_, args.results[0]);
  }

 private:
  int64_t most_;
};

// What both expert products have: how the experts' weights are cut, and the activations. Scratch
// has the experts' part, the activations, and that of each thread.
template <typename Experts>
class ExpertProducts {
 public:
  ExpertProducts(const LowerContext& context, const Experts& experts, int64_t x_rows, Layout layout)
      : isa(IsaFor(layout, context.caps)),
        split(*context.call.operands[1], layout, experts.max_rows(), context.caps),
        experts_(experts),
        activations_(isa, x_rows, context.call.operands[0]->shape[1].factor()),
        threads_(context.caps.threads()) {}

  int64_t scratch_bytes(int64_t thread_floats) const {
    return experts_.scratch_bytes() + activations_.scratch_bytes() +
           FloatBytes(threads_ * thread_floats);
  }

  // Calls body(rows, their activations, panel, the thread's scratch).
  template <typename Body>
  absl::Status ForEachPanel(const StepArgs& args, const TensorView& plan, int64_t thread_floats,
                            const Body& body) const {
    const float* x = args.operands[0].f32();
    std::byte* prepared = args.scratch + experts_.scratch_bytes();
    float* scratch = reinterpret_cast<float*>(prepared + activations_.scratch_bytes());
    return experts_.ForEachPanel(
        args, plan, split.count(),
        [&](int64_t first, int64_t count) { activations_.Prepare(x, first, count, prepared); },
        [&](const ExpertRows& rows, int64_t panel, int thread) {
          body(rows, activations_.Rows(x, rows.first_in, rows.rows, prepared), panel,
               scratch + thread * thread_floats);
        });
  }

  const ProductIsa isa;
  const PanelSplit split;

 private:
  Experts experts_;
  Activations activations_;
  int64_t threads_;
};

template <typename Experts>
class ExpertMatmulStep : public Step {
 public:
  ExpertMatmulStep(const LowerContext& context, const Experts& experts, int64_t x_rows,
                   Layout layout)
      : products_(context, experts, x_rows, layout) {}
  int64_t scratch_bytes() const override {
    return products_.scratch_bytes(products_.split.scratch_floats());
  }

  absl::Status Run(const StepArgs& args) override {
    const TensorView& y = args.results[0];
    const float* bias = args.F32OrNull(3);
    const PanelSplit& split = products_.split;
    return products_.ForEachPanel(
        args, args.operands[2], split.scratch_floats(),
        [&](const ExpertRows& rows, const InputRows& x, int64_t panel, float* scratch) {
          WeightMatrix w = ExpertMatrixOf(args.operands[1], rows.expert, products_.isa);
          if (bias != nullptr) w.bias = bias + rows.expert * w.rows;
          const int64_t begin = split.begin(panel);
          MultiplyPanel(w, begin, split.end(panel), x, y.f32() + rows.first_out * y.cols() + begin,
                        y.cols(), scratch);
        });
  }

 private:
  ExpertProducts<Experts> products_;
};

template <typename Experts>
class ExpertGluStep : public Step {
 public:
  ExpertGluStep(const LowerContext& context, const Experts& experts, int64_t x_rows, Layout layout)
      : products_(context, experts, x_rows, layout),
        panels_(products_.split, layout, experts.max_rows(),
                GateNamed(context.call.String("act"), VectorIsaFor(context.caps).math)) {}
  int64_t scratch_bytes() const override {
    return products_.scratch_bytes(panels_.scratch_floats());
  }

  absl::Status Run(const StepArgs& args) override {
    const TensorView& y = args.results[0];
    return products_.ForEachPanel(
        args, args.operands[3], panels_.scratch_floats(),
        [&](const ExpertRows& rows, const InputRows& x, int64_t panel, float* scratch) {
          panels_.Multiply(ExpertMatrixOf(args.operands[1], rows.expert, products_.isa),
                           ExpertMatrixOf(args.operands[2], rows.expert, products_.isa), panel, x,
                           y.f32() + rows.first_out * y.cols(), y.cols(), scratch);
        });
  }

 private:
  ExpertProducts<Experts> products_;
  GluPanels panels_;
};

// --- scaled_add -----------------------------------------------------------------------------

class ScaledAddStep : public Step {
 public:
  explicit ScaledAddStep(const LowerContext& context) : math_(VectorIsaFor(context.caps).math) {}

  absl::Status Run(const StepArgs& args) override {
    const TensorView& rows = args.operands[0];
    const TensorView& weights = args.operands[1];
    const int32_t* row_of = args.I32OrNull(2);
    const float* residual = args.F32OrNull(3);
    const TensorView& out = args.results[0];
    const int64_t used = weights.dim(1), width = out.cols();
    if (row_of != nullptr) {
      SLUICE_RETURN_IF_ERROR(CheckRows(row_of, weights.elements(), used, rows.dim(0)));
    }
    args.threads.For(out.dim(0), 4, [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t) {
        float* y = out.f32() + t * width;
        if (residual == nullptr) {
          std::fill_n(y, width, 0.0f);
        } else if (residual != out.f32()) {
          std::copy_n(residual + t * width, width, y);
        }
        for (int64_t slot = t * used; slot < (t + 1) * used; ++slot) {
          const float p = weights.f32()[slot];
          const float* x = rows.f32() + (row_of != nullptr ? row_of[slot] : slot) * width;
          math_.add_scaled(x, p, width, y);
        }
      }
    });
    return absl::OkStatus();
  }

 private:
  static absl::Status CheckRows(const int32_t* row_of, int64_t slots, int64_t used, int64_t rows) {
    for (int64_t slot = 0; slot < slots; ++slot) {
      if (row_of[slot] < 0 || row_of[slot] >= rows) {
        return absl::OutOfRangeError(absl::StrCat("row ", row_of[slot], " of token ", slot / used,
                                                  " is not in 0 to ", rows - 1));
      }
    }
    return absl::OkStatus();
  }

  const VectorMath& math_;
};

absl::StatusOr<std::unique_ptr<Step>> LowerTopkSoftmax(const LowerContext& context) {
  return std::make_unique<TopkSoftmaxStep>(context);
}
absl::StatusOr<std::unique_ptr<Step>> LowerMoeGather(const LowerContext& context) {
  return std::make_unique<MoeGatherStep>(context);
}
absl::StatusOr<std::unique_ptr<Step>> LowerExpertTiles(const LowerContext& context) {
  return std::make_unique<ExpertTilesStep>(context.call.Int("most"));
}
template <template <typename> typename ExpertStep, typename Experts, Layout kLayout>
absl::StatusOr<std::unique_ptr<Step>> LowerExperts(const LowerContext& context) {
  SLUICE_ASSIGN_OR_RETURN(const Experts experts, Experts::Make(context));
  SLUICE_ASSIGN_OR_RETURN(const int64_t x_rows,
                          context.bounds.Evaluate(context.call.operands[0]->shape[0]));
  return std::make_unique<ExpertStep<Experts>>(context, experts, x_rows, kLayout);
}
absl::StatusOr<std::unique_ptr<Step>> LowerScaledAdd(const LowerContext& context) {
  return std::make_unique<ScaledAddStep>(context);
}

template <Layout kLayout>
void AddExpertKernels(std::vector<CpuKernel>* kernels) {
  const auto add = [&](const char* op, const char* doc, auto cost, auto lower) {
    kernels->push_back({{.name = absl::StrCat("cpu.", op, ".", KernelSuffix(kLayout)),
                         .op = op,
                         .doc = doc,
                         .accepts = AcceptsWeights<kLayout>,
                         .cost = cost,
                         .layout = LayoutName(kLayout)},
                        lower});
  };
  add("expert_matmul", "panels of every used expert", GroupedCost<kLayout>,
      LowerExperts<ExpertMatmulStep, GroupedExperts, kLayout>);
  add("expert_glu", "gate and up panels of every used expert, activation while in cache",
      GroupedCost<kLayout>, LowerExperts<ExpertGluStep, GroupedExperts, kLayout>);
  add("indexed_expert_matmul", "panels of each slot's expert, all slots in one loop",
      IndexedCost<kLayout>, LowerExperts<ExpertMatmulStep, IndexedExperts, kLayout>);
  add("indexed_expert_glu", "gate and up panels of each slot's expert, all slots in one loop",
      IndexedCost<kLayout>, LowerExperts<ExpertGluStep, IndexedExperts, kLayout>);
}

}  // namespace

void AddMoeKernels(std::vector<CpuKernel>* kernels) {
  kernels->push_back(
      {{"cpu.topk_softmax", "topk_softmax", "a selection for each token", AcceptsAll},
       LowerTopkSoftmax});
  kernels->push_back(
      {{"cpu.moe_gather", "moe_gather", "counting sort by expert", AcceptsAll}, LowerMoeGather});
  kernels->push_back(
      {{"cpu.expert_tiles", "expert_tiles", "expert by expert", AcceptsAll}, LowerExpertTiles});
  AddExpertKernels<Layout::kFile>(kernels);
  AddExpertKernels<Layout::kX16>(kernels);
  kernels->push_back(
      {{"cpu.scaled_add", "scaled_add", "weighted sum of each token's rows", AcceptsAll},
       LowerScaledAdd});
}

}  // namespace sluice::cpu
