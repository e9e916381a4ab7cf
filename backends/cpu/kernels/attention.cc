// CPU kernels of the attention family: KV append and attention over the paged cache.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "backends/cpu/kernels/attention_task.h"
#include "backends/cpu/kernels/kv_cache.h"
#include "backends/cpu/kernels/vector_isa.h"
#include "backends/cpu/step.h"
#include "graph/ops/attention.h"
#include "graph/status_macros.h"

namespace sluice::cpu {
namespace {

class KvAppendStep : public Step {
 public:
  explicit KvAppendStep(const VectorMath& math) : math_(math) {}

  absl::Status Run(const StepArgs& args) override {
    const Cache k(args.results[0], math_), v(args.results[1], math_);
    const auto in = As<KvAppendCall>(args);
    SLUICE_RETURN_IF_ERROR(CheckSlots(in.slots, k));
    args.threads.For(in.slots.elements(), 16, [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t) {
        k.StoreToken(in.slots.i32()[t], in.k.f32() + t * k.heads * k.dim);
        v.StoreToken(in.slots.i32()[t], in.v.f32() + t * v.heads * v.dim);
      }
    });
    return absl::OkStatus();
  }

 private:
  const VectorMath& math_;
};

// --- attention ------------------------------------------------------------------------------

// Query rows that are attended at once: four of the widest vectors. One token may have more.
constexpr int64_t kTileRows = 64;
// Keys that are worth a thread.
constexpr int64_t kPartKeys = 4 * kKeyBlock;

// Tokens that are neighbours in the step, in their sequence and in position, and the keys that any
// of them sees. Being neighbours, they leave no gap among these.
struct Tile {
  int64_t first, tokens;
  int64_t begin, end;
};

// The most that any run has.
struct Limits {
  int64_t tokens, context;
  int threads;
};

class AttentionStep : public Step {
 public:
  AttentionStep(const LowerContext& context, const AttentionCall<const TensorType*>& in,
                const Limits& limits)
      : isa_(VectorIsaFor(context.caps)),
        scale_(static_cast<float>(context.call.Float("scale"))),
        causal_(context.call.Bool("causal")),
        window_(context.call.Int("window")),
        limits_(limits),
        k_dim_(in.k_cache->shape[3].factor()),
        v_dim_(in.v_cache->shape[3].factor()) {
    group_ = in.q->shape[1].factor() / in.k_cache->shape[1].factor();
    tile_tokens_ = std::clamp<int64_t>(kTileRows / group_, 1, std::max<int64_t>(1, limits.tokens));
    rows_ = PaddedRow(tile_tokens_ * group_);
  }

  int64_t scratch_bytes() const override {
    const int64_t floats = limits_.threads * ThreadFloats() + Slots() * PartFloats();
    return MostTiles() * static_cast<int64_t>(sizeof(Tile)) +
           floats * static_cast<int64_t>(sizeof(float));
  }

  absl::Status Run(const StepArgs& args) override {
    const Operands in = As<AttentionCall>(args);
    SLUICE_RETURN_IF_ERROR(CheckIndices(in));
    const Plan plan = MakePlan(args, in);
    for (int64_t i = 0; i < plan.tiles; ++i) {
      SLUICE_RETURN_IF_ERROR(CheckBlocks(in, plan.tile[i]));
    }
    // The last tiles see most of the context: they come first, so that no thread ends with one.
    args.threads.ForEach(plan.items * plan.parts, [&](int64_t index, int thread) {
      Attend(in, plan, index / plan.parts, index % plan.parts, thread);
    });
    if (plan.parts > 1) {
      args.threads.ForEach(plan.items,
                           [&](int64_t item, int) { Finish(plan, item, plan.Part(item, 0)); });
    }
    return absl::OkStatus();
  }

 private:
  using Operands = AttentionCall<const TensorView&>;

  // What a task leaves: floats per row, and rows of sums of values.
  struct Partial {
    float* largest;
    float* sum;
    float* weighted;
  };

  // How the work of one run is divided: an item is a tile and a head of the cache; each is divided
  // into `parts` of the tile's keys where there are not enough items for all threads.
  struct Plan {
    const Tile* tile = nullptr;
    int64_t tiles = 0, kv_heads = 0, items = 0, parts = 1;
    float* slots = nullptr;    // part_floats for each part of each item, if parts > 1
    float* threads = nullptr;  // ThreadFloats() for each
    int64_t part_floats = 0;
    float* out = nullptr;

    const Tile& TileOf(int64_t item) const { return tile[tiles - 1 - item % tiles]; }
    int64_t HeadOf(int64_t item) const { return item / tiles; }
    float* Part(int64_t item, int64_t part) const {
      return slots + (item * parts + part) * part_floats;
    }
  };

  // One per token, rounded up so that what follows begins a line of the cache.
  int64_t MostTiles() const { return PaddedRow(limits_.tokens); }
  int64_t PartFloats() const { return rows_ * (2 + PaddedRow(v_dim_)); }
  // The limits of visible keys, one part, and what the kernel needs.
  int64_t ThreadFloats() const {
    return 2 * rows_ + PartFloats() + AttentionScratch(k_dim_, v_dim_, rows_);
  }
  // Items are divided where there are fewer than two per thread, into parts that make two: as those
  // are rounded up for each item, fewer than four.
  int64_t Slots() const { return limits_.context > kPartKeys ? 4 * limits_.threads : 0; }

  Partial PartialAt(float* part) const { return {part, part + rows_, part + 2 * rows_}; }

  static absl::Status CheckIndices(const Operands& in) {
    const TensorView& tables = in.block_tables;
    const int64_t room = tables.dim(1) * in.k_cache.dim(2);
    for (int64_t t = 0; t < in.seq_ids.elements(); ++t) {
      const int32_t s = in.seq_ids.i32()[t];
      if (s < 0 || s >= tables.dim(0)) {
        return absl::OutOfRangeError(
            absl::StrCat("sequence ", s, " of token ", t, " is not in 0 to ", tables.dim(0) - 1));
      }
    }
    for (int64_t s = 0; s < tables.dim(0); ++s) {
      const int64_t length = in.context_lens.i32()[s];
      if (length < 0 || length > room) {
        return absl::OutOfRangeError(absl::StrCat("context of ", length, " tokens of sequence ", s,
                                                  ", its table has room for ", room));
      }
    }
    return absl::OkStatus();
  }

  // Blocks that no token sees may have any id: a sliding window leaves them behind.
  static absl::Status CheckBlocks(const Operands& in, const Tile& tile) {
    const int64_t blocks = in.k_cache.dim(0), block_size = in.k_cache.dim(2);
    const int32_t s = in.seq_ids.i32()[tile.first];
    const int32_t* table = in.block_tables.i32() + s * in.block_tables.dim(1);
    for (int64_t i = tile.begin / block_size; i * block_size < tile.end; ++i) {
      if (table[i] < 0 || table[i] >= blocks) {
        return absl::OutOfRangeError(
            absl::StrCat("block ", table[i], " of sequence ", s, " is not in 0 to ", blocks - 1));
      }
    }
    return absl::OkStatus();
  }

  // The keys that a token sees.
  int64_t BeginOf(const Operands& in, int64_t token) const {
    const int64_t position = in.positions.i32()[token];
    return window_ > 0 ? std::max<int64_t>(0, position - window_ + 1) : 0;
  }
  int64_t EndOf(const Operands& in, int64_t token) const {
    const int64_t length = in.context_lens.i32()[in.seq_ids.i32()[token]];
    const int64_t position = in.positions.i32()[token];
    return causal_ ? std::clamp<int64_t>(position + 1, 0, length) : length;
  }

  Plan MakePlan(const StepArgs& args, const Operands& in) const {
    const int64_t tokens = in.q.dim(0);
    Plan plan;
    plan.out = args.results[0].f32();
    plan.kv_heads = in.k_cache.dim(1);
    plan.part_floats = PartFloats();
    auto* tiles = reinterpret_cast<Tile*>(args.scratch);
    plan.tile = tiles;
    plan.threads = reinterpret_cast<float*>(tiles + MostTiles());
    plan.slots = plan.threads + limits_.threads * ThreadFloats();
    // Smaller tiles where there would be too few for all threads, but vectors should be full.
    const int64_t wanted = 2 * limits_.threads;
    const int64_t least = (kRowPadding + group_ - 1) / group_;
    const int64_t most = std::min(tile_tokens_, std::max(least, tokens * plan.kv_heads / wanted));
    int64_t longest = 0;
    for (int64_t t = 0; t < tokens; t += tiles[plan.tiles++].tokens) {
      Tile& tile = tiles[plan.tiles];
      tile = TileAt(in, t, std::min(most, tokens - t));
      longest = std::max(longest, tile.end - tile.begin);
    }
    plan.items = plan.tiles * plan.kv_heads;
    if (plan.items < wanted && longest > kPartKeys) {
      plan.parts =
          std::min((wanted + plan.items - 1) / plan.items, (longest + kPartKeys - 1) / kPartKeys);
    }
    return plan;
  }

  Tile TileAt(const Operands& in, int64_t first, int64_t most) const {
    const int32_t* positions = in.positions.i32();
    const int32_t* sequences = in.seq_ids.i32();
    int64_t tokens = 1;
    while (tokens < most && sequences[first + tokens] == sequences[first] &&
           positions[first + tokens] == positions[first] + tokens) {
      ++tokens;
    }
    const int64_t last = first + tokens - 1;
    return {first, tokens, BeginOf(in, first), EndOf(in, last)};
  }

  static PagedRows Rows(const TensorView& cache, int64_t head) {
    const int64_t head_bytes = cache.dim(2) * cache.row_bytes();
    return {cache.data + head * head_bytes, cache.dim(1) * head_bytes, cache.row_bytes(),
            cache.dim(3), cache.dtype};
  }

  // One part of an item's keys; the results, too, where there is no other part.
  void Attend(const Operands& in, const Plan& plan, int64_t item, int64_t part, int thread) const {
    const Tile& tile = plan.TileOf(item);
    const int64_t head = plan.HeadOf(item);
    float* limits = plan.threads + thread * ThreadFloats();
    float* own_part = limits + 2 * rows_;
    float* to = plan.parts > 1 ? plan.Part(item, part) : own_part;
    SetLimits(in, tile, limits);
    const Partial partial = PartialAt(to);
    const int64_t sequence = in.seq_ids.i32()[tile.first];
    const int64_t token_stride = plan.kv_heads * group_ * k_dim_;
    // Parts begin at blocks of keys, counted from the first that the tile sees.
    const int64_t blocks = (tile.end - tile.begin + kKeyBlock - 1) / kKeyBlock;
    const auto boundary = [&](int64_t p) {
      return std::min(tile.end, tile.begin + blocks * p / plan.parts * kKeyBlock);
    };
    isa_.attend({.q = in.q.f32() + tile.first * token_stride + head * group_ * k_dim_,
                 .token_stride = token_stride,
                 .rows = tile.tokens * group_,
                 .group = group_,
                 .scale = scale_,
                 .k = Rows(in.k_cache, head),
                 .v = Rows(in.v_cache, head),
                 .pages = in.block_tables.i32() + sequence * in.block_tables.dim(1),
                 .page_size = in.k_cache.dim(2),
                 .begin = boundary(part),
                 .end = boundary(part + 1),
                 .row_begin = limits,
                 .row_end = limits + rows_,
                 .largest = partial.largest,
                 .sum = partial.sum,
                 .weighted = partial.weighted,
                 .scratch = own_part + PartFloats()});
    if (plan.parts == 1) Finish(plan, item, to);
  }

  void SetLimits(const Operands& in, const Tile& tile, float* limits) const {
    const int64_t rows = tile.tokens * group_;
    for (int64_t r = 0; r < PaddedRow(rows); ++r) {
      const int64_t token = tile.first + std::min(r, rows - 1) / group_;
      limits[r] = static_cast<float>(BeginOf(in, token));
      limits[rows_ + r] = static_cast<float>(EndOf(in, token));
    }
  }

  // Adds up the item's parts, the first of which is at `part`.
  void Finish(const Plan& plan, int64_t item, float* part) const {
    const Tile& tile = plan.TileOf(item);
    const int64_t heads = plan.kv_heads * group_;
    for (int64_t r = 0; r < tile.tokens * group_; ++r) {
      const int64_t row =
          (tile.first + r / group_) * heads + plan.HeadOf(item) * group_ + r % group_;
      FinishRow(part, plan.parts, r, plan.out + row * v_dim_);
    }
  }

  void FinishRow(float* part, int64_t parts, int64_t r, float* out) const {
    float largest = PartialAt(part).largest[r];
    for (int64_t p = 1; p < parts; ++p) {
      largest = std::max(largest, PartialAt(part + p * PartFloats()).largest[r]);
    }
    const auto factor = [&](int64_t p) {
      float power = PartialAt(part + p * PartFloats()).largest[r] - largest;
      isa_.math.exp(&power, 1, &power);
      return power;
    };
    float sum = 0;
    for (int64_t p = 0; p < parts; ++p) {
      sum += factor(p) * PartialAt(part + p * PartFloats()).sum[r];
    }
    std::fill_n(out, v_dim_, 0.0F);
    if (sum == 0) return;  // the row sees no key
    for (int64_t p = 0; p < parts; ++p) {
      const float* weighted = PartialAt(part + p * PartFloats()).weighted + r * PaddedRow(v_dim_);
      isa_.math.add_scaled(weighted, factor(p) / sum, v_dim_, out);
    }
  }

  const VectorIsa& isa_;
  float scale_;
  bool causal_;
  int64_t window_;
  Limits limits_;
  int64_t k_dim_, v_dim_;
  int64_t group_ = 1;
  int64_t tile_tokens_ = 1;  // at most
  int64_t rows_ = 0;         // of a tile, padded
};

absl::StatusOr<std::unique_ptr<Step>> LowerAppend(const LowerContext& context) {
  return std::make_unique<KvAppendStep>(VectorIsaFor(context.caps).math);
}
absl::StatusOr<std::unique_ptr<Step>> LowerAttention(const LowerContext& context) {
  const auto in = As<AttentionCall>(context.call);
  SLUICE_ASSIGN_OR_RETURN(const int64_t tokens, context.bounds.Evaluate(in.q->shape[0]));
  SLUICE_ASSIGN_OR_RETURN(const int64_t table, context.bounds.Evaluate(in.block_tables->shape[1]));
  const int64_t block_size = in.k_cache->shape[2].factor();
  return std::make_unique<AttentionStep>(
      context, in,
      Limits{.tokens = tokens,
             .context = table * block_size,
             .threads = static_cast<int>(context.caps.threads())});
}

}  // namespace

void AddAttentionKernels(std::vector<CpuKernel>* kernels) {
  kernels->push_back({{"cpu.kv_append", "kv_append", "converts and stores each head's row",
                       AcceptsCaches<KvAppendCall>},
                      LowerAppend});
  kernels->push_back(
      {{"cpu.attention.rows", "attention",
        "neighbouring tokens and one KV head at a time, online softmax over blocks of keys",
        AcceptsCaches<AttentionCall>},
       LowerAttention});
}

}  // namespace sluice::cpu
