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
#include "graph/ops/moe.h"
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
        experts_(As<TopkSoftmaxCall>(context.call).logits->shape[1].factor()),
        threads_(context.caps.threads()),
        math_(VectorIsaFor(context.caps).math) {}
  int64_t scratch_bytes() const override { return FloatBytes(threads_ * ThreadFloats()); }

  absl::Status Run(const StepArgs& args) override {
    const auto in = As<TopkSoftmaxCall>(args);
    const TensorView& logits = in.logits;
    for (int64_t t = 0; t < logits.dim(0); ++t) {
      SLUICE_RETURN_IF_ERROR(CheckLogits(logits.f32() + t * experts_, t));
    }
    args.threads.For(logits.dim(0), 16, [&](int64_t begin, int64_t end, int thread) {
      float* scratch = reinterpret_cast<float*>(args.scratch) + thread * ThreadFloats();
      for (int64_t t = begin; t < end; ++t) {
        RouteToken(logits.f32() + t * experts_, in.bias.f32(), scratch,
                   args.results[0].f32() + t * k_, args.results[1].i32() + t * k_);
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
    const auto in = As<MoeGatherCall>(args);
    const TensorView &x = in.x, &ids = in.ids, &rows = args.results[0];
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

// The rows of an expert stand together, where the offsets say.
class GroupedExperts {
 public:
  template <typename T>
  using MatmulCall = ExpertMatmulCall<T>;
  template <typename T>
  using GluCall = ExpertGluCall<T>;
  // The operands of either: the activations, and which expert they meet.
  template <typename Call>
  static auto& ActivationsOf(const Call& in) {
    return in.rows;
  }
  template <typename Call>
  static auto& ChoiceOf(const Call& in) {
    return in.offsets;
  }

  GroupedExperts(int64_t experts, int64_t x_rows) : experts_(experts), max_rows_(x_rows) {}

  int64_t max_rows() const { return max_rows_; }  // of one expert
  // The list of used experts, rounded up to a cache line.
  int64_t scratch_bytes() const { return (experts_ * 4 + 63) / 64 * 64; }

  // Calls prepare(first, count) for those of `x_rows` rows that meet an expert together, for all of
  // them, then body(ExpertRows, panel, thread) for each of `panels` of every used expert.
  template <typename Prepare, typename Body>
  absl::Status ForEachPanel(const StepArgs& args, const TensorView& choice, int64_t x_rows,
                            int64_t panels, const Prepare& prepare, const Body& body) const {
    const int32_t* offsets = choice.i32();
    SLUICE_RETURN_IF_ERROR(CheckOffsets(offsets, x_rows));
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

// Each slot of a token has its own expert, by its id.
class IndexedExperts {
 public:
  template <typename T>
  using MatmulCall = IndexedExpertMatmulCall<T>;
  template <typename T>
  using GluCall = IndexedExpertGluCall<T>;
  template <typename Call>
  static auto& ActivationsOf(const Call& in) {
    return in.x;
  }
  template <typename Call>
  static auto& ChoiceOf(const Call& in) {
    return in.ids;
  }

  IndexedExperts(int64_t experts, int64_t) : experts_(experts) {}

  int64_t max_rows() const { return 1; }
  int64_t scratch_bytes() const { return 0; }

  template <typename Prepare, typename Body>
  absl::Status ForEachPanel(const StepArgs& args, const TensorView& ids, int64_t x_rows,
                            int64_t panels, const Prepare& prepare, const Body& body) const {
    SLUICE_RETURN_IF_ERROR(CheckExpertIds(ids, experts_));
    args.threads.For(x_rows, 16, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) prepare(row, 1);
    });
    const int64_t slots_per_row = x_rows == ids.rows() ? ids.cols() : 1;
    args.threads.ForEach(ids.elements() * panels, [&](int64_t task, int thread) {
      const int64_t slot = task / panels;
      body(ExpertRows{ids.i32()[slot], slot / slots_per_row, slot, 1}, task % panels, thread);
    });
    return absl::OkStatus();
  }

 private:
  int64_t experts_;
};

class ExpertTilesStep : public Step {
 public:
  explicit ExpertTilesStep(int64_t most) : most_(most) {}
  absl::Status Run(const StepArgs& args) override {
    return TileExperts(As<ExpertTilesCall>(args).offsets, most_, args.results[0]);
  }

 private:
  int64_t most_;
};

// What both expert products have: how the experts' weights are cut, and the activations. Scratch
// has the experts' part, the activations, and that of each thread.
template <typename Experts>
class ExpertProducts {
 public:
  // `x` has at most `x_rows` rows; `weights` is one of two of the same shape, if there are two.
  ExpertProducts(const LowerContext& context, const TensorType& x, int64_t x_rows,
                 const TensorType& weights, Layout layout)
      : isa(IsaFor(layout, context.caps)),
        experts(weights.shape[0].factor(), x_rows),
        split(weights, layout, experts.max_rows(), context.caps),
        activations_(isa, x_rows, x.shape[1].factor()),
        threads_(context.caps.threads()) {}

  int64_t scratch_bytes(int64_t thread_floats) const {
    return experts.scratch_bytes() + activations_.scratch_bytes() +
           FloatBytes(threads_ * thread_floats);
  }

  // Calls body(rows, their activations, panel, the thread's scratch).
  template <typename Call, typename Body>
  absl::Status ForEachPanel(const StepArgs& args, const Call& in, int64_t thread_floats,
                            const Body& body) const {
    const TensorView& activations = Experts::ActivationsOf(in);
    const float* x = activations.f32();
    std::byte* prepared = args.scratch + experts.scratch_bytes();
    float* scratch = reinterpret_cast<float*>(prepared + activations_.scratch_bytes());
    return experts.ForEachPanel(
        args, Experts::ChoiceOf(in), activations.rows(), split.count(),
        [&](int64_t first, int64_t count) { activations_.Prepare(x, first, count, prepared); },
        [&](const ExpertRows& rows, int64_t panel, int thread) {
          body(rows, activations_.Rows(x, rows.first_in, rows.rows, prepared), panel,
               scratch + thread * thread_floats);
        });
  }

  const ProductIsa isa;
  const Experts experts;
  const PanelSplit split;

 private:
  Activations activations_;
  int64_t threads_;
};

template <typename Experts>
class ExpertMatmulStep : public Step {
 public:
  template <typename T>
  using Call = typename Experts::template MatmulCall<T>;
  ExpertMatmulStep(const LowerContext& context, const Call<const TensorType*>& in, int64_t x_rows,
                   Layout layout)
      : products_(context, *Experts::ActivationsOf(in), x_rows, *in.weight, layout) {}
  int64_t scratch_bytes() const override {
    return products_.scratch_bytes(products_.split.scratch_floats());
  }

  absl::Status Run(const StepArgs& args) override {
    const auto in = As<Call>(args);
    const TensorView& y = args.results[0];
    const float* bias = in.bias.f32();
    const PanelSplit& split = products_.split;
    return products_.ForEachPanel(
        args, in, split.scratch_floats(),
        [&](const ExpertRows& rows, const InputRows& x, int64_t panel, float* scratch) {
          WeightMatrix w = ExpertMatrixOf(in.weight, rows.expert, products_.isa);
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
  template <typename T>
  using Call = typename Experts::template GluCall<T>;
  ExpertGluStep(const LowerContext& context, const Call<const TensorType*>& in, int64_t x_rows,
                Layout layout)
      : products_(context, *Experts::ActivationsOf(in), x_rows, *in.gate, layout),
        panels_(products_.split, layout, products_.experts.max_rows(),
                GateNamed(context.call.String("act"), VectorIsaFor(context.caps).math)) {}
  int64_t scratch_bytes() const override {
    return products_.scratch_bytes(panels_.scratch_floats());
  }

  absl::Status Run(const StepArgs& args) override {
    const auto in = As<Call>(args);
    const TensorView& y = args.results[0];
    return products_.ForEachPanel(
        args, in, panels_.scratch_floats(),
        [&](const ExpertRows& rows, const InputRows& x, int64_t panel, float* scratch) {
          panels_.Multiply(ExpertMatrixOf(in.gate, rows.expert, products_.isa),
                           ExpertMatrixOf(in.up, rows.expert, products_.isa), panel, x,
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
    const auto in = As<ScaledAddCall>(args);
    const TensorView &rows = in.rows, &weights = in.weights, &out = args.results[0];
    const int32_t* row_of = in.row_of.i32();
    const float* residual = in.residual.f32();
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
  const auto in = As<ExpertStep<Experts>::template Call>(context.call);
  const Dim& rows = Experts::ActivationsOf(in)->shape[0];
  SLUICE_ASSIGN_OR_RETURN(const int64_t x_rows, context.bounds.Evaluate(rows));
  return std::make_unique<ExpertStep<Experts>>(context, in, x_rows, kLayout);
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
  add("expert_matmul", "panels of every used expert", GroupedCost<ExpertMatmulCall, kLayout>,
      LowerExperts<ExpertMatmulStep, GroupedExperts, kLayout>);
  add("expert_glu", "gate and up panels of every used expert, activation while in cache",
      GroupedCost<ExpertGluCall, kLayout>, LowerExperts<ExpertGluStep, GroupedExperts, kLayout>);
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
