// CPU kernels of the mixture-of-experts family, expert-major: tokens grouped by expert, one product
// per expert that is used.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "backends/cpu/kernels/activation.h"
#include "backends/cpu/kernels/panel.h"
#include "backends/cpu/step.h"
#include "graph/status_macros.h"

namespace sluice::cpu {
namespace {

// The router's sum is clamped from below, as in the reference implementation of these models.
constexpr float kMinWeightSum = 6.103515625e-5f;  // 2^-14, the smallest normal f16

absl::Status AcceptsAll(const Node&, const proto::DeviceCaps&) { return absl::OkStatus(); }

class TopkSoftmaxStep : public Step {
 public:
  explicit TopkSoftmaxStep(const LowerContext& context)
      : k_(context.call.Int("k")),
        renormalise_(context.call.Bool("renorm")),
        sigmoid_(context.call.String("gating") == "sigmoid"),
        scale_(static_cast<float>(context.call.Float("scale"))),
        experts_(context.call.operands[0]->shape[1].factor()) {}
  // Gate values, and the same with the selection bias.
  int64_t scratch_bytes() const override {
    return 2 * experts_ * static_cast<int64_t>(sizeof(float));
  }

  absl::Status Run(const StepArgs& args) override {
    const TensorView& logits = args.operands[0];
    const float* bias = args.operands.size() > 1 ? args.operands[1].f32() : nullptr;
    for (int64_t t = 0; t < logits.dim(0); ++t) {
      const float* row = logits.f32() + t * experts_;
      SLUICE_RETURN_IF_ERROR(CheckLogits(row, t));
      RouteToken(row, bias, reinterpret_cast<float*>(args.scratch), args.results[0].f32() + t * k_,
                 args.results[1].i32() + t * k_);
    }
    return absl::OkStatus();
  }

 private:
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
    const float max = *std::max_element(logits, logits + experts_);
    float sum = 0;
    for (int64_t e = 0; e < experts_; ++e) sum += gates[e] = std::exp(logits[e] - max);
    for (int64_t e = 0; e < experts_; ++e) gates[e] /= sum;
  }

  int64_t k_;
  bool renormalise_, sigmoid_;
  float scale_;
  int64_t experts_;
};

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
    SLUICE_RETURN_IF_ERROR(CountRows(ids, args.results[2].i32()));
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
  absl::Status CountRows(const TensorView& ids, int32_t* offsets) const {
    std::fill_n(offsets, experts_ + 1, 0);
    for (int64_t slot = 0; slot < ids.elements(); ++slot) {
      const int32_t id = ids.i32()[slot];
      if (id < 0 || id >= experts_) {
        return absl::OutOfRangeError(absl::StrCat("expert id ", id, " of token ", slot / ids.dim(1),
                                                  " is not in 0 to ", experts_ - 1));
      }
      ++offsets[id + 1];
    }
    for (int64_t e = 0; e < experts_; ++e) offsets[e + 1] += offsets[e];
    return absl::OkStatus();
  }

  int64_t experts_;
};

// What expert_matmul and expert_glu share: the split of the experts' weights into panels and the
// list of experts that have rows.
class ExpertStep : public Step {
 protected:
  explicit ExpertStep(const LowerContext& context) : threads_(context.caps.threads()) {
    const Shape& weight = context.call.operands[1]->shape;
    experts_ = weight[0].factor();
    split_ = PanelSplit(weight[1].factor(), weight[2].factor(), context.caps);
  }

  int64_t ListBytes() const { return (experts_ * 4 + 63) / 64 * 64; }

  // Calls body(expert, first_row, rows, panel, thread) for every panel of every used expert.
  template <typename Body>
  absl::Status ForEachPanel(const StepArgs& args, const TensorView& offsets_view,
                            int64_t total_rows, const Body& body) const {
    const int32_t* offsets = offsets_view.i32();
    int32_t* used = reinterpret_cast<int32_t*>(args.scratch);
    int64_t used_count = 0;
    if (offsets[0] != 0 || offsets[experts_] != total_rows) {
      return absl::OutOfRangeError(absl::StrCat("the experts' rows are ", offsets[0], " to ",
                                                offsets[experts_], ", expected 0 to ", total_rows));
    }
    for (int64_t e = 0; e < experts_; ++e) {
      if (offsets[e + 1] < offsets[e]) {
        return absl::OutOfRangeError(absl::StrCat("the rows of expert ", e, " are ", offsets[e],
                                                  " to ", offsets[e + 1], ", expected ascending"));
      }
      if (offsets[e + 1] > offsets[e]) used[used_count++] = static_cast<int32_t>(e);
    }
    const int64_t panels = split_.count();
    args.threads.ForEach(used_count * panels, [&](int64_t task, int thread) {
      const int32_t expert = used[task / panels];
      body(expert, offsets[expert], offsets[expert + 1] - offsets[expert], task % panels, thread);
    });
    return absl::OkStatus();
  }

  WeightMatrix Matrix(const TensorView& view, int64_t expert) const {
    return {view.dtype, view.Slice(expert), view.dim(1), view.dim(2)};
  }

  int64_t threads_;
  int64_t experts_ = 0;
  PanelSplit split_;
};

class ExpertMatmulStep : public ExpertStep {
 public:
  explicit ExpertMatmulStep(const LowerContext& context) : ExpertStep(context) {}
  int64_t scratch_bytes() const override {
    return ListBytes() + threads_ * split_.scratch_floats() * static_cast<int64_t>(sizeof(float));
  }

  absl::Status Run(const StepArgs& args) override {
    const TensorView& x = args.operands[0];
    const TensorView& y = args.results[0];
    const float* bias = args.operands.size() > 3 ? args.operands[3].f32() : nullptr;
    float* decoded = reinterpret_cast<float*>(args.scratch + ListBytes());
    return ForEachPanel(
        args, args.operands[2], x.rows(),
        [&](int64_t expert, int64_t first, int64_t rows, int64_t panel, int thread) {
          WeightMatrix w = Matrix(args.operands[1], expert);
          if (bias != nullptr) w.bias = bias + expert * w.rows;
          const int64_t begin = split_.begin(panel);
          MultiplyPanel(w, begin, split_.end(panel), x.f32() + first * x.cols(), rows,
                        y.f32() + first * y.cols() + begin, y.cols(),
                        decoded + thread * split_.scratch_floats());
        });
  }
};

class ExpertGluStep : public ExpertStep {
 public:
  ExpertGluStep(const LowerContext& context, int64_t max_rows)
      : ExpertStep(context),
        max_rows_(max_rows),
        activation_(ActivationNamed(context.call.String("act"))) {}
  int64_t scratch_bytes() const override {
    return ListBytes() + threads_ * ThreadFloats() * static_cast<int64_t>(sizeof(float));
  }

  absl::Status Run(const StepArgs& args) override {
    const TensorView& x = args.operands[0];
    const TensorView& y = args.results[0];
    return ForEachPanel(
        args, args.operands[3], x.rows(),
        [&](int64_t expert, int64_t first, int64_t rows, int64_t panel, int thread) {
          float* decoded =
              reinterpret_cast<float*>(args.scratch + ListBytes()) + thread * ThreadFloats();
          float* gates = decoded + split_.scratch_floats();
          const int64_t begin = split_.begin(panel), end = split_.end(panel), width = end - begin;
          const float* in = x.f32() + first * x.cols();
          float* out = y.f32() + first * y.cols() + begin;
          MultiplyPanel(Matrix(args.operands[1], expert), begin, end, in, rows, gates, width,
                        decoded);
          MultiplyPanel(Matrix(args.operands[2], expert), begin, end, in, rows, out, y.cols(),
                        decoded);
          for (int64_t i = 0; i < rows; ++i) {
            GateInPlace(activation_, gates + i * width, out + i * y.cols(), width);
          }
        });
  }

 private:
  int64_t ThreadFloats() const {
    return split_.scratch_floats() + max_rows_ * split_.rows_per_panel();
  }
  int64_t max_rows_;
  Activation activation_;
};

class ScaledAddStep : public Step {
 public:
  absl::Status Run(const StepArgs& args) override {
    const TensorView& rows = args.operands[0];
    const TensorView& weights = args.operands[1];
    const int32_t* row_of = args.operands[2].i32();
    const float* residual = args.operands.size() > 3 ? args.operands[3].f32() : nullptr;
    const TensorView& out = args.results[0];
    const int64_t used = weights.dim(1), width = out.cols();
    for (int64_t slot = 0; slot < weights.elements(); ++slot) {
      if (row_of[slot] < 0 || row_of[slot] >= rows.dim(0)) {
        return absl::OutOfRangeError(absl::StrCat("row ", row_of[slot], " of token ", slot / used,
                                                  " is not in 0 to ", rows.dim(0) - 1));
      }
    }
    args.threads.For(out.dim(0), 4, [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t) {
        float* y = out.f32() + t * width;
        if (residual != nullptr) {
          std::copy_n(residual + t * width, width, y);
        } else {
          std::fill_n(y, width, 0.0f);
        }
        for (int64_t j = 0; j < used; ++j) {
          const float p = weights.f32()[t * used + j];
          const float* x = rows.f32() + row_of[t * used + j] * width;
          for (int64_t i = 0; i < width; ++i) y[i] += p * x[i];
        }
      }
    });
    return absl::OkStatus();
  }
};

absl::Status AcceptsExpertMatmul(const Node& node, const proto::DeviceCaps&) {
  return AcceptsWeight(*node.operand(1));
}
absl::Status AcceptsExpertGlu(const Node& node, const proto::DeviceCaps&) {
  SLUICE_RETURN_IF_ERROR(AcceptsWeight(*node.operand(1)));
  return AcceptsWeight(*node.operand(2));
}

absl::StatusOr<std::unique_ptr<Step>> LowerTopkSoftmax(const LowerContext& context) {
  return std::make_unique<TopkSoftmaxStep>(context);
}
absl::StatusOr<std::unique_ptr<Step>> LowerMoeGather(const LowerContext& context) {
  return std::make_unique<MoeGatherStep>(context);
}
absl::StatusOr<std::unique_ptr<Step>> LowerExpertMatmul(const LowerContext& context) {
  return std::make_unique<ExpertMatmulStep>(context);
}
absl::StatusOr<std::unique_ptr<Step>> LowerExpertGlu(const LowerContext& context) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t rows,
                          context.bounds.Evaluate(context.call.operands[0]->shape[0]));
  return std::make_unique<ExpertGluStep>(context, rows);
}
absl::StatusOr<std::unique_ptr<Step>> LowerScaledAdd(const LowerContext&) {
  return std::make_unique<ScaledAddStep>();
}

}  // namespace

void AddMoeKernels(std::vector<CpuKernel>* kernels) {
  kernels->push_back({{"cpu.topk_softmax", "topk_softmax", "one token after the other", AcceptsAll},
                      LowerTopkSoftmax});
  kernels->push_back(
      {{"cpu.moe_gather", "moe_gather", "counting sort by expert", AcceptsAll}, LowerMoeGather});
  kernels->push_back({{"cpu.expert_matmul.panel", "expert_matmul",
                       "panels of every used expert, multiplied with oneDNN", AcceptsExpertMatmul},
                      LowerExpertMatmul});
  kernels->push_back(
      {{"cpu.expert_glu.panel", "expert_glu",
        "gate and up panels of every used expert, activation while in cache", AcceptsExpertGlu},
       LowerExpertGlu});
  kernels->push_back(
      {{"cpu.scaled_add", "scaled_add", "weighted sum of each token's rows", AcceptsAll},
       LowerScaledAdd});
}

}  // namespace sluice::cpu
