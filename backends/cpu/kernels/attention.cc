// CPU kernels of the attention family: KV append and attention over the paged cache.
#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "backends/cpu/kernels/kv_cache.h"
#include "backends/cpu/step.h"
#include "graph/status_macros.h"

namespace sluice::cpu {
namespace {

float Dot(const float* a, const float* b, int64_t n) {
  // Eight partial sums: the order of additions is part of the kernel, not of the compiler's mood.
  float sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int j = 0; j < 8; ++j) sums[j] += a[i + j] * b[i + j];
  }
  float sum =
      ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

class KvAppendStep : public Step {
 public:
  absl::Status Run(const StepArgs& args) override {
    const Cache k(args.results[0]), v(args.results[1]);
    const TensorView& slots = args.operands[4];
    SLUICE_RETURN_IF_ERROR(CheckSlots(slots, k));
    args.threads.For(slots.elements(), 16, [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t) {
        k.StoreToken(slots.i32()[t], args.operands[2].f32() + t * k.heads * k.dim);
        v.StoreToken(slots.i32()[t], args.operands[3].f32() + t * v.heads * v.dim);
      }
    });
    return absl::OkStatus();
  }
};

// Per token and KV head: scores of all query heads that share it, softmax, weighted sum of values.
class AttentionStep : public Step {
 public:
  AttentionStep(const LowerContext& context, int64_t max_context)
      : scale_(static_cast<float>(context.call.Float("scale"))),
        causal_(context.call.Bool("causal")),
        window_(context.call.Int("window")),
        threads_(context.caps.threads()),
        max_context_(max_context) {
    const int64_t heads = context.call.operands[0]->shape[1].factor();
    const int64_t kv_heads = context.call.operands[1]->shape[1].factor();
    group_ = heads / kv_heads;
    row_ = std::max(context.call.operands[1]->shape[3].factor(),
                    context.call.operands[2]->shape[3].factor());
  }
  int64_t scratch_bytes() const override {
    return threads_ * ThreadFloats() * static_cast<int64_t>(sizeof(float));
  }

  absl::Status Run(const StepArgs& args) override {
    SLUICE_RETURN_IF_ERROR(CheckTables(args));
    const int64_t kv_heads = args.operands[1].dim(1);
    const int64_t tokens = args.operands[0].dim(0);
    float* scratch = reinterpret_cast<float*>(args.scratch);
    args.threads.ForEach(tokens * kv_heads, [&](int64_t task, int thread) {
      Attend(args, task / kv_heads, task % kv_heads, scratch + thread * ThreadFloats());
    });
    return absl::OkStatus();
  }

 private:
  // One decoded cache row, and the scores of `group_` heads for a whole context.
  int64_t ThreadFloats() const { return row_ + group_ * max_context_; }

  static absl::Status CheckTables(const StepArgs& args) {
    const TensorView& tables = args.operands[5];
    const int64_t blocks = args.operands[1].dim(0), block_size = args.operands[1].dim(2);
    for (int64_t t = 0; t < args.operands[4].elements(); ++t) {
      const int32_t s = args.operands[4].i32()[t];
      if (s < 0 || s >= tables.dim(0)) {
        return absl::OutOfRangeError(
            absl::StrCat("sequence ", s, " of token ", t, " is not in 0 to ", tables.dim(0) - 1));
      }
    }
    for (int64_t s = 0; s < tables.dim(0); ++s) {
      const int64_t length = args.operands[6].i32()[s];
      if (length < 0 || length > tables.dim(1) * block_size) {
        return absl::OutOfRangeError(absl::StrCat("context of ", length, " tokens of sequence ", s,
                                                  ", its table has room for ",
                                                  tables.dim(1) * block_size));
      }
      for (int64_t i = 0; i * block_size < length; ++i) {
        const int32_t block = tables.i32()[s * tables.dim(1) + i];
        if (block < 0 || block >= blocks) {
          return absl::OutOfRangeError(
              absl::StrCat("block ", block, " of sequence ", s, " is not in 0 to ", blocks - 1));
        }
      }
    }
    return absl::OkStatus();
  }

  void Attend(const StepArgs& args, int64_t token, int64_t kv_head, float* scratch) const {
    const Cache k(args.operands[1]), v(args.operands[2]);
    const int64_t sequence = args.operands[4].i32()[token];
    const int64_t position = args.operands[3].i32()[token];
    const int32_t* table = args.operands[5].i32() + sequence * args.operands[5].dim(1);
    int64_t end = args.operands[6].i32()[sequence];
    if (causal_) end = std::min(end, position + 1);
    const int64_t begin = window_ > 0 ? std::max<int64_t>(0, position - window_ + 1) : 0;

    float* row = scratch;
    float* scores = scratch + row_;  // [group, end - begin]
    const int64_t length = std::max<int64_t>(end - begin, 0);
    const int64_t heads = k.heads * group_;
    const float* q = args.operands[0].f32() + (token * heads + kv_head * group_) * k.dim;
    for (int64_t j = 0; j < length; ++j) {
      const int64_t index = begin + j;
      k.decode(k.Row(table[index / k.block_size], kv_head, index % k.block_size), k.dim, row);
      for (int64_t g = 0; g < group_; ++g) {
        scores[g * length + j] = scale_ * Dot(q + g * k.dim, row, k.dim);
      }
    }
    for (int64_t g = 0; g < group_; ++g) Softmax(scores + g * length, length);

    float* out = args.results[0].f32() + (token * heads + kv_head * group_) * v.dim;
    std::fill_n(out, group_ * v.dim, 0.0f);
    for (int64_t j = 0; j < length; ++j) {
      const int64_t index = begin + j;
      v.decode(v.Row(table[index / v.block_size], kv_head, index % v.block_size), v.dim, row);
      for (int64_t g = 0; g < group_; ++g) {
        const float p = scores[g * length + j];
        for (int64_t i = 0; i < v.dim; ++i) out[g * v.dim + i] += p * row[i];
      }
    }
  }

  static void Softmax(float* scores, int64_t n) {
    float max = -std::numeric_limits<float>::infinity();
    for (int64_t i = 0; i < n; ++i) max = std::max(max, scores[i]);
    float sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += scores[i] = std::exp(scores[i] - max);
    for (int64_t i = 0; i < n; ++i) scores[i] /= sum;
  }

  float scale_;
  bool causal_;
  int64_t window_;
  int64_t threads_;
  int64_t max_context_;
  int64_t group_ = 1;
  int64_t row_ = 0;
};

absl::Status AcceptsAppend(const Node& node, const proto::DeviceCaps&) {
  return AcceptsCaches(node, 0);
}
absl::Status AcceptsAttention(const Node& node, const proto::DeviceCaps&) {
  return AcceptsCaches(node, 1);
}

absl::StatusOr<std::unique_ptr<Step>> LowerAppend(const LowerContext&) {
  return std::make_unique<KvAppendStep>();
}
absl::StatusOr<std::unique_ptr<Step>> LowerAttention(const LowerContext& context) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t table,
                          context.bounds.Evaluate(context.call.operands[5]->shape[1]));
  const int64_t block_size = context.call.operands[1]->shape[2].factor();
  return std::make_unique<AttentionStep>(context, table * block_size);
}

}  // namespace

void AddAttentionKernels(std::vector<CpuKernel>* kernels) {
  kernels->push_back(
      {{"cpu.kv_append", "kv_append", "converts and stores each head's row", AcceptsAppend},
       LowerAppend});
  kernels->push_back(
      {{"cpu.attention.rows", "attention",
        "one token and KV head at a time, cache rows decoded once per group of heads",
        AcceptsAttention},
       LowerAttention});
}

}  // namespace sluice::cpu
