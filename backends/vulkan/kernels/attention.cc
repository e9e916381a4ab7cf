// Vulkan kernels of the attention family.
#include <algorithm>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "backends/vulkan/formats.h"
#include "backends/vulkan/kernels/heads.h"
#include "backends/vulkan/shaders/attention.inc"
#include "graph/ops/attention.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

// --- kv_append ------------------------------------------------------------------------------

absl::Status LowerKvAppend(Lowering& out) {
  const auto in = As<KvAppendCall>(out);
  HeadsCall k = {.x = in.k.span, .shape = in.k.shape()};
  StoreInCache(in.k_cache, in.slots, &k, out);
  HeadsCall v = {.x = in.v.span, .shape = in.v.shape()};
  StoreInCache(in.v_cache, in.slots, &v, out);
  return AddHeads({k, v}, out);
}

absl::Status AcceptsKvAppend(const Node& node, const proto::DeviceCaps&) {
  const auto in = As<KvAppendCall>(node);
  SLUICE_RETURN_IF_ERROR(CheckHeadWidth(*in.k));
  return CheckHeadWidth(*in.v);
}

// --- attention ------------------------------------------------------------------------------

constexpr int64_t kKeys = attention::KEYS, kPiece = attention::PIECE;
constexpr int64_t kMaxWidth = 512;
// Bytes of shared memory that a workgroup may take: what common devices have at least.
constexpr int64_t kSharedBytes = 32 << 10;

// Workgroups that keep a device busy; fewer leave parts of it idle. A processor has few cores, and
// even an empty workgroup costs it microseconds.
int64_t BusyWith(bool is_processor) { return is_processor ? 8 : 256; }
int64_t BusyWith(const proto::DeviceCaps& caps) {
  return BusyWith(std::find(caps.features().begin(), caps.features().end(), "cpu") !=
                  caps.features().end());
}

int64_t RoundUp(int64_t value, int64_t to) { return (value + to - 1) / to * to; }
int64_t DivideUp(int64_t value, int64_t by) { return (value + by - 1) / by; }

// How the work is divided over workgroups, at the symbols' bounds.
struct AttentionPlan {
  int64_t rows;             // query rows of a tile
  int64_t tokens_per_tile;  // or, if a token has more heads of a group than a tile has rows,
  int64_t tiles_per_token;
  int64_t tiles;   // of all kv heads
  int64_t splits;  // workgroups a tile
  int64_t keys;    // that a token sees at most
};

struct AttentionSizes {
  int64_t tokens, seqs, context, group, kv_heads, k_quads, v_quads, window;
};
AttentionSizes SizesOf(const Node& node, absl::FunctionRef<int64_t(const Dim&)> bound) {
  const auto in = As<AttentionCall>(node);
  const Shape &q = in.q->type().shape, &k = in.k_cache->type().shape, &v = in.v_cache->type().shape,
              &tables = in.block_tables->type().shape;
  const auto types = node.OperandTypes();
  return {.tokens = bound(q[0]),
          .seqs = bound(tables[0]),
          .context = bound(tables[1]) * bound(k[2]),
          .group = bound(q[1]) / bound(k[1]),
          .kv_heads = bound(k[1]),
          .k_quads = bound(k[3]) / 4,
          .v_quads = bound(v[3]) / 4,
          .window = OpCall{node.op(), types, node.attrs()}.Int("window")};
}
AttentionSizes SizesAt(const Node& node, const SymbolValues& bounds) {
  return SizesOf(node, [&](const Dim& dim) {
    return dim.factor() * (dim.is_constant() ? 1 : bounds.Get(dim.symbol()));
  });
}

// Bytes that the shader shares besides the queries, for so many rows.
int64_t SharedBytes(int64_t rows, int64_t k_quads) {
  constexpr int64_t kQuadBytes = 16, kRowBytes = kKeys * 4 + kQuadBytes + 3 * 4;
  return rows * (RoundUp(k_quads, kPiece) * kQuadBytes + kRowBytes) +
         kKeys * ((kPiece + 1) * kQuadBytes + 4) + 4;
}

AttentionPlan PlanOf(const AttentionSizes& sizes, bool is_split, int64_t busy) {
  AttentionPlan plan = {.rows = 32};
  while (plan.rows > 4 && (SharedBytes(plan.rows, sizes.k_quads) > kSharedBytes ||
                           (is_split && plan.rows / 2 >= sizes.group))) {
    plan.rows /= 2;
  }
  plan.tokens_per_tile = is_split ? 1 : std::max<int64_t>(1, plan.rows / sizes.group);
  plan.tiles_per_token = DivideUp(sizes.group, plan.rows);
  plan.tiles = DivideUp(sizes.tokens, plan.tokens_per_tile) * plan.tiles_per_token * sizes.kv_heads;
  plan.keys = sizes.window > 0 ? std::min(sizes.context, sizes.window) : sizes.context;
  // Four times as many as keep the device busy hide each other's waiting.
  const int64_t most = std::max<int64_t>(1, DivideUp(plan.keys, 2 * kKeys));
  plan.splits = is_split ? std::clamp<int64_t>(4 * busy / plan.tiles, 1, most) : 1;
  return plan;
}

// On a large GPU. A key costs a workgroup time of its own, for its way through shared memory, and
// as much again for every 8 rows; a split costs the wait for its parts.
template <bool kSplit>
double AttentionSeconds(const Node& node, const SymbolValues& bounds,
                        const proto::DeviceCaps& caps) {
  constexpr double kKeySeconds = 8e-9, kSplitSeconds = 2e-6;
  const AttentionSizes sizes = SizesAt(node, bounds);
  const int64_t busy = BusyWith(caps);
  const AttentionPlan plan = PlanOf(sizes, kSplit, busy);
  const auto groups = static_cast<double>(plan.tiles * plan.splits);
  // A tile takes its sequences one after the other. Their tokens are next to each other, so that
  // each sequence but the first adds one to one tile.
  const double more = static_cast<double>(std::min(sizes.seqs, sizes.tokens) - 1) /
                      static_cast<double>(DivideUp(sizes.tokens, plan.tokens_per_tile));
  const double sequences = std::min(static_cast<double>(plan.tokens_per_tile), 1 + more);
  const double keys = static_cast<double>(plan.keys) * sequences / static_cast<double>(plan.splits);
  const double key_seconds = kKeySeconds * (1 + static_cast<double>(plan.rows) / 8);
  return std::max(1.0, groups / static_cast<double>(busy)) * keys * key_seconds +
         (plan.splits > 1 ? kSplitSeconds : 0);
}

absl::StatusOr<int64_t> SplitScratch(const Node& node, const SymbolValues& bounds,
                                     const proto::DeviceCaps& caps) {
  const AttentionSizes sizes = SizesAt(node, bounds);
  const AttentionPlan plan = PlanOf(sizes, /*is_split=*/true, BusyWith(caps));
  constexpr int64_t kQuadBytes = 16;
  // Maximum and sum of each row, and its result so far.
  return plan.tiles * plan.splits * plan.rows * (1 + sizes.v_quads) * kQuadBytes;
}

absl::Status AcceptsAttention(const Node& node, const proto::DeviceCaps&) {
  const auto in = As<AttentionCall>(node);
  for (const Value* cache : {in.k_cache, in.v_cache}) {
    const int64_t width = cache->type().shape[3].factor();
    if (width % 4 == 0 && width <= kMaxWidth) continue;
    return absl::UnimplementedError(absl::StrCat(
        "heads of ", width, " elements, expected a multiple of 4, at most ", kMaxWidth));
  }
  return absl::OkStatus();
}

uint32_t Word(int64_t value) { return static_cast<uint32_t>(value); }

attention::Parameters ParametersOf(const AttentionSizes& sizes, const AttentionPlan& plan,
                                   const Lowering& out) {
  const auto in = As<AttentionCall>(out);
  const auto dim = [&](const Operand& operand, size_t i) {
    return out.Elements({operand.shape()[i]});
  };
  return {.tokens = dim(in.q, 0),
          .seqs = dim(in.block_tables, 0),
          .table = dim(in.block_tables, 1),
          .blocks = dim(in.k_cache, 0),
          .kv_heads = Word(sizes.kv_heads),
          .group = Word(sizes.group),
          .k_quads = Word(sizes.k_quads),
          .v_quads = Word(sizes.v_quads),
          .block_size = dim(in.k_cache, 2).factor,
          .scale = static_cast<float>(out.call().Float("scale")),
          .causal = out.call().Bool("causal"),
          .window = Word(sizes.window),
          .tokens_per_tile = Word(plan.tokens_per_tile),
          .tiles_per_token = Word(plan.tiles_per_token),
          .splits = Word(plan.splits)};
}

attention::Constants ConstantsOf(const AttentionSizes& sizes, const AttentionPlan& plan,
                                 const Node& node) {
  const auto in = As<AttentionCall>(node);
  return {.K_FORMAT = CacheFormat(in.k_cache->type().dtype),
          .V_FORMAT = CacheFormat(in.v_cache->type().dtype),
          .ROWS = Word(plan.rows),
          .K_QUADS = Word(RoundUp(sizes.k_quads, kPiece)),
          .V_PIECES = Word(DivideUp(sizes.v_quads, kPiece)),
          .LANES = plan.rows > 4 ? 128U : 64U};
}

// What the parts of a tile need beside what they have in common with whole tiles.
void AddSplit(const AttentionPlan& plan, attention::Bindings* bindings, Lowering& out) {
  bindings->partial = out.Scratch();
  // Counters of the tiles' parts that are done: 0 before and after each dispatch.
  bindings->counters = out.Table(std::vector<uint32_t>(static_cast<size_t>(plan.tiles)));
}

template <bool kSplit>
absl::Status LowerAttention(Lowering& out) {
  const AttentionSizes sizes =
      SizesOf(out.node(), [&](const Dim& dim) { return out.Bound(out.Elements({dim})); });
  const AttentionPlan plan = PlanOf(sizes, kSplit, BusyWith(out.device().type == "cpu"));
  const int64_t shared_bytes = SharedBytes(plan.rows, sizes.k_quads);
  if (shared_bytes > out.device().shared_bytes) {
    return absl::UnimplementedError(absl::StrCat("its workgroups share ", shared_bytes, " bytes, '",
                                                 out.device().name, "' has ",
                                                 out.device().shared_bytes));
  }
  const auto in = As<AttentionCall>(out);
  attention::Bindings bindings = {.q = in.q.span,
                                  .k = in.k_cache.span,
                                  .v = in.v_cache.span,
                                  .positions = in.positions.span,
                                  .seq_ids = in.seq_ids.span,
                                  .tables = in.block_tables.span,
                                  .lens = in.context_lens.span,
                                  .y = out.Result(0),
                                  .errors = out.ErrorSlot(),
                                  .partial = {},
                                  .counters = {}};
  if (kSplit) AddSplit(plan, &bindings, out);
  return out.Dispatch(
      kSplit ? "attention_split" : "attention_rows", ConstantsOf(sizes, plan, out.node()), bindings,
      ParametersOf(sizes, plan, out), {GroupsFor(plan.tiles * plan.splits, 1), 1, 1});
}

}  // namespace

void AddAttentionKernels(std::vector<VulkanKernel>* kernels) {
  kernels->push_back(
      {{"vulkan.kv_append", "kv_append", "a workgroup a head", AcceptsKvAppend}, LowerKvAppend});
  kernels->push_back({{"vulkan.attention.rows", "attention",
                       "a workgroup a tile of tokens and heads that share keys", AcceptsAttention,
                       AttentionSeconds<false>},
                      LowerAttention<false>});
  kernels->push_back({{"vulkan.attention.split", "attention",
                       "the keys of a token divided over workgroups, the last of which sums up",
                       AcceptsAttention, AttentionSeconds<true>, SplitScratch},
                      LowerAttention<true>});
}

}  // namespace sluice::vulkan
