// The paged KV cache: writing to it and attending over it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "graph/formats/quantize.h"
#include "graph/ops/attention.h"
#include "graph/ops/kv_cache.h"
#include "graph/ops/ops.h"
#include "graph/ops/shape_check.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

// One layer's cache of keys or values, [blocks,Hkv,block_size,width].
struct CacheShape {
  explicit CacheShape(const TensorView& view)
      : blocks(view.dim(0)), heads(view.dim(1)), block_size(view.dim(2)) {}

  int64_t Row(int64_t block, int64_t head, int64_t offset) const {
    return (block * heads + head) * block_size + offset;
  }

  int64_t blocks, heads, block_size;
};

// --- kv_append ------------------------------------------------------------------------------

absl::StatusOr<std::vector<TensorType>> InferKvAppend(const OpCall& call) {
  SLUICE_ASSIGN_OR_RETURN(const DimBindings dims, MatchOperands(call));
  SLUICE_RETURN_IF_ERROR(CheckCacheDims(call, dims));
  return ResultTypes(call, dims);
}

void AppendRows(const TensorView& rows, const int32_t* slots, const TensorView& cache) {
  const CacheShape shape(cache);
  const QuantizeFn encode = QuantizerFor(cache.dtype);
  const int64_t tokens = rows.dim(0), cols = rows.cols();
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t block = slots[t] / shape.block_size, offset = slots[t] % shape.block_size;
    for (int64_t head = 0; head < shape.heads; ++head) {
      encode(rows.f32() + (t * shape.heads + head) * cols, cols,
             cache.data + shape.Row(block, head, offset) * cache.row_bytes());
    }
  }
}

absl::Status EvalKvAppend(const EvalContext& context) {
  const auto in = As<KvAppendCall>(context);
  SLUICE_RETURN_IF_ERROR(CheckIndices(context, kOperand<KvAppendCall>.slots));
  // Results are in the order of the caches that they share.
  AppendRows(in.k, in.slots.i32(), context.results[0]);
  AppendRows(in.v, in.slots.i32(), context.results[1]);
  return absl::OkStatus();
}

OpCost KvAppendCost(const CostContext& context) {
  const auto in = As<KvAppendCall>(context);
  OpCost cost;
  cost.bytes_read = static_cast<double>(in.k.bytes() + in.v.bytes() + in.slots.bytes());
  for (const TensorView& cache : context.results) {
    cost.bytes_written += static_cast<double>(in.k.rows() * cache.row_bytes());
  }
  return cost;
}

OpDef KvAppend() {
  return {
      .name = "kv_append",
      .family = "attention",
      .doc =
          "Writes the keys and values of this step's tokens to a paged cache (Kwon et al. 2023, "
          "arXiv:2309.06180), in place: cache[slots[t] / block_size, :, slots[t] % block_size, :] "
          "= rows[t,:,:], rounded to the cache's dtype (nearest, ties to even). A slot outside the "
          "cache is an error, and then nothing is written. The slots of one call differ from each "
          "other; where they do not, either row may stay.",
      .operands = Named(KvAppendCall<OperandSpec>{.k_cache = {.doc = kKCacheDoc},
                                                  .v_cache = {.doc = kVCacheDoc},
                                                  .k = {.doc = "f32[t,Hkv,D]"},
                                                  .v = {.doc = "f32[t,Hkv,Dv]"},
                                                  .slots = SlotsOperand()}),
      .results = {{"k_cache", kKCacheDoc, /*aliases=*/kOperand<KvAppendCall>.k_cache},
                  {"v_cache", kVCacheDoc, /*aliases=*/kOperand<KvAppendCall>.v_cache}},
      .attrs = {},
      .infer = InferKvAppend,
      .eval = EvalKvAppend,
      .cost = KvAppendCost,
      .expands_to = "",
  };
}

// --- attention ------------------------------------------------------------------------------

absl::StatusOr<std::vector<TensorType>> InferAttention(const OpCall& call) {
  SLUICE_ASSIGN_OR_RETURN(const DimBindings dims, MatchOperands(call));
  SLUICE_RETURN_IF_ERROR(CheckCacheDims(call, dims));
  SLUICE_ASSIGN_OR_RETURN(const int64_t heads, ConstantDim(call, dims, "H"));
  SLUICE_ASSIGN_OR_RETURN(const int64_t kv_heads, ConstantDim(call, dims, "Hkv"));
  if (kv_heads < 1 || heads % kv_heads != 0) {
    return OperandError(call, kOperand<AttentionCall>.k_cache,
                        absl::StrCat("a number of kv heads that divides the ", heads, " of q"));
  }
  if (!std::isfinite(call.Float("scale"))) return AttrError(call, "scale", "a finite number");
  if (call.Int("window") < 0) return AttrError(call, "window", "0 (no window) or more");
  return ResultTypes(call, dims);
}

absl::Status CheckContextLens(const EvalContext& context) {
  const auto in = As<AttentionCall>(context);
  const TensorView& lens = in.context_lens;
  const int64_t table = in.block_tables.dim(1);
  const int64_t block_size = in.k_cache.dim(2);
  for (int64_t s = 0; s < lens.elements(); ++s) {
    if (lens.i32()[s] < 0 || lens.i32()[s] > table * block_size) {
      return absl::OutOfRangeError(absl::StrCat("'attention': context_lens[", s, "] is ",
                                                lens.i32()[s], ", expected 0..", table * block_size,
                                                " (", table, " blocks of ", block_size, ")"));
    }
  }
  return absl::OkStatus();
}

// Cached indices begin..end-1 of a sequence.
struct IndexRange {
  int64_t begin, end;
};

IndexRange VisibleTo(const OpCall& call, int64_t position, int64_t context_len) {
  const int64_t window = call.Int("window");
  IndexRange range{.begin = 0, .end = context_len};
  if (call.Bool("causal")) range.end = std::min(range.end, position + 1);
  if (window > 0) range.begin = std::max<int64_t>(0, position - window + 1);
  if (range.begin >= range.end) return {.begin = 0, .end = 0};
  return range;
}

// Blocks that no token sees may have any id: a sliding window leaves them behind.
absl::Status CheckBlocks(const EvalContext& context, int64_t sequence, IndexRange range) {
  const auto in = As<AttentionCall>(context);
  const TensorView& tables = in.block_tables;
  const CacheShape shape(in.k_cache);
  for (int64_t i = range.begin / shape.block_size; i * shape.block_size < range.end; ++i) {
    const int64_t entry = sequence * tables.dim(1) + i;
    const int32_t block = tables.i32()[entry];
    if (block < 0 || block >= shape.blocks) {
      return IndexError(context, kOperand<AttentionCall>.block_tables, entry, shape.blocks);
    }
  }
  return absl::OkStatus();
}

// Turns scores into weights that sum to 1 (or stay empty), without overflow.
void Softmax(std::vector<double>* scores) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const double score : *scores) largest = std::max(largest, score);
  double sum = 0;
  for (double& score : *scores) sum += score = std::exp(score - largest);
  for (double& score : *scores) score /= sum;
}

// Attention of single heads of single tokens; holds the scratch memory that they share.
class HeadAttention {
 public:
  HeadAttention(const TensorView& k_cache, const TensorView& v_cache, double scale)
      : shape_(k_cache), k_(k_cache), v_(v_cache), width_(k_cache.cols()), scale_(scale) {
    sums_.resize(static_cast<size_t>(v_cache.cols()));
  }

  // q[D], `blocks` the sequence's block table; writes out[Dv]: zeros for an empty range.
  void Run(const float* q, const int32_t* blocks, int64_t kv_head, IndexRange range, float* out) {
    const auto row_of = [&](int64_t index) {
      return shape_.Row(blocks[index / shape_.block_size], kv_head, index % shape_.block_size);
    };
    scores_.clear();
    for (int64_t j = range.begin; j < range.end; ++j) {
      const float* k = k_.Row(row_of(j));
      double dot = 0;
      for (int64_t i = 0; i < width_; ++i) dot += static_cast<double>(q[i]) * k[i];
      scores_.push_back(dot * scale_);
    }
    Softmax(&scores_);
    std::fill(sums_.begin(), sums_.end(), 0.0);
    for (int64_t j = range.begin; j < range.end; ++j) {
      const float* v = v_.Row(row_of(j));
      const double weight = scores_[static_cast<size_t>(j - range.begin)];
      for (size_t i = 0; i < sums_.size(); ++i) sums_[i] += weight * v[i];
    }
    std::transform(sums_.begin(), sums_.end(), out,
                   [](double sum) { return static_cast<float>(sum); });
  }

 private:
  const CacheShape shape_;
  RowReader k_, v_;
  const int64_t width_;
  const double scale_;
  std::vector<double> scores_, sums_;
};

absl::Status EvalAttention(const EvalContext& context) {
  const auto in = As<AttentionCall>(context);
  const TensorView &q = in.q, &tables = in.block_tables;
  SLUICE_RETURN_IF_ERROR(CheckIndices(context, kOperand<AttentionCall>.seq_ids));
  SLUICE_RETURN_IF_ERROR(CheckContextLens(context));
  const int64_t tokens = q.dim(0), heads = q.dim(1), heads_per_kv = heads / in.v_cache.dim(1);
  HeadAttention attention(in.k_cache, in.v_cache, context.call.Float("scale"));
  for (int64_t t = 0; t < tokens; ++t) {
    const int32_t sequence = in.seq_ids.i32()[t];
    const IndexRange range =
        VisibleTo(context.call, in.positions.i32()[t], in.context_lens.i32()[sequence]);
    SLUICE_RETURN_IF_ERROR(CheckBlocks(context, sequence, range));
    const int32_t* blocks = tables.i32() + sequence * tables.dim(1);
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t row = t * heads + h;
      attention.Run(q.f32() + row * q.cols(), blocks, h / heads_per_kv, range,
                    context.results[0].f32() + row * in.v_cache.cols());
    }
  }
  return absl::OkStatus();
}

OpCost AttentionCost(const CostContext& context) {
  const auto in = As<AttentionCall>(context);
  const int64_t tokens = in.q.dim(0), sequences = in.context_lens.elements();
  const int64_t window = context.call.Int("window");
  const int64_t seen = window > 0 ? std::min(window, context.context) : context.context;
  OpCost cost;
  // Per query head and cached index: a multiply-add for each element of its key and of its value,
  // and scale, subtract, exp, add.
  const int64_t widths = in.q.cols() + in.v_cache.cols();
  cost.flops = static_cast<double>(in.q.rows()) * static_cast<double>(seen * (2 * widths + 4));
  for (const TensorView* view :
       {&in.q, &in.positions, &in.seq_ids, &in.block_tables, &in.context_lens}) {
    cost.bytes_read += static_cast<double>(view->bytes());
  }
  // A sequence's cache is read once for all its tokens.
  for (const TensorView* cache : {&in.k_cache, &in.v_cache}) {
    cost.bytes_read += static_cast<double>(std::min(tokens, sequences) * seen) *
                       static_cast<double>(cache->dim(1) * cache->row_bytes());
  }
  cost.bytes_written = static_cast<double>(context.results[0].bytes());
  return cost;
}

OpDef Attention() {
  return {
      .name = "attention",
      .family = "attention",
      .doc =
          "Scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762) over a paged cache "
          "(Kwon et al. 2023, arXiv:2309.06180), with H/Hkv query heads per kv head (Ainslie et "
          "al. 2023, arXiv:2305.13245): out[t,h] = sum_j w_j v_j, w = softmax_j(scale * q[t,h] "
          "k_j). For s = seq_ids[t], j runs over the cached indices 0 <= j < context_lens[s] with "
          "j <= positions[t] if causal and j > positions[t] - window if window > 0; index j lies "
          "in block block_tables[s, j / block_size] at offset j % block_size, kv head h / "
          "(H/Hkv). A token that sees no index gives zeros. Errors at run time: a sequence id "
          "outside the tables, a context longer than its table, an id outside the cache of a "
          "block that is seen.",
      .operands = Named(AttentionCall<OperandSpec>{
          .q = {.doc = "f32[t,H,D]"},
          .k_cache = {.doc = kKCacheDoc},
          .v_cache = {.doc = kVCacheDoc},
          .positions = {.doc = "i32[t], of each token in its sequence",
                        .below = "table*block_size"},
          .seq_ids = {.doc = "i32[t], row of block_tables", .below = "seqs"},
          .block_tables = {.doc = "i32[seqs,table]", .below = "blocks"},
          .context_lens = {.doc = "i32[seqs], cached tokens, those of this step included",
                           .below = "table*block_size",
                           .or_equal = true}}),
      .results = {{"out", "f32[t,H,Dv]"}},
      .attrs = {{.name = "scale",
                 .kind = AttrKind::kFloat,
                 .doc = "factor of the scores, usually 1/sqrt(D)",
                 .default_value = std::nullopt,
                 .choices = {}},
                {.name = "causal",
                 .kind = AttrKind::kBool,
                 .doc = "a token sees nothing after its own position",
                 .default_value = true,
                 .choices = {}},
                {.name = "window",
                 .kind = AttrKind::kInt,
                 .doc = "last indices that a token sees, its own included; 0: all",
                 .default_value = int64_t{0},
                 .choices = {}}},
      .infer = InferAttention,
      .eval = EvalAttention,
      .cost = AttentionCost,
      .expands_to = "",
  };
}

}  // namespace

OperandSpec SlotsOperand() {
  return {.doc = "i32[t], block * block_size + offset within the block",
          .below = "blocks*block_size",
          .order = IndexOrder::kDistinct};
}

absl::Status CheckCacheDims(const OpCall& call, const DimBindings& dims) {
  for (const char* name : {"Hkv", "block_size", "D", "Dv"}) {
    SLUICE_RETURN_IF_ERROR(ConstantDim(call, dims, name).status());
  }
  return absl::OkStatus();
}

absl::Status RegisterAttentionOps(OpRegistry& registry) {
  for (OpDef (*op)() : {KvAppend, Attention}) SLUICE_RETURN_IF_ERROR(registry.Register(op()));
  return absl::OkStatus();
}

}  // namespace sluice
