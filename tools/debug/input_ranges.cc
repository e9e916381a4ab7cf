#include "tools/debug/input_ranges.h"

#include <algorithm>
#include <utility>

#include "graph/evaluate.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

// Sizes and attributes of one node.
class Sizes {
 public:
  Sizes(const OpCall& call, const SymbolValues& symbols) : call_(call), symbols_(symbols) {}

  // A dimension of the operand of that name, which is there: only optional operands may be left
  // out, and no rule asks for one.
  int64_t operator()(absl::string_view operand, size_t dim) const {
    for (size_t i = 0; i < call_.op.operands.size(); ++i) {
      if (call_.op.operands[i].name != operand) continue;
      return symbols_.Evaluate(call_.operands[i]->shape[dim]).value_or(1);
    }
    return 1;
  }
  int64_t Attr(absl::string_view name) const { return call_.Int(name); }
  // The first dimension of an attribute that is a shape.
  int64_t FirstOf(absl::string_view name) const {
    return symbols_.Evaluate(call_.ShapeOf(name)[0]).value_or(1);
  }

 private:
  const OpCall& call_;
  const SymbolValues& symbols_;
};

// Values of an operand: low .. limit - 1.
struct Rule {
  absl::string_view op, operand;
  int64_t (*limit)(const Sizes& sizes);
  int64_t low = 0;
  ValueRange::Order order = ValueRange::Order::kAny;
};

int64_t CacheLength(const Sizes& sizes) { return sizes("block_tables", 1) * sizes("k_cache", 2); }

// What the ops' docs ask of values, for every op that has no expansion.
constexpr Rule kRules[] = {
    {"embedding", "ids", [](const Sizes& s) { return s("table", 0); }},
    {"gather_rows", "rows", [](const Sizes& s) { return s("x", 0); }},
    {"moe_gather", "ids", [](const Sizes& s) { return s.Attr("experts"); }},
    {"expert_matmul", "offsets", [](const Sizes& s) { return s("rows", 0) + 1; }, 0,
     ValueRange::Order::kAscending},
    {"expert_matmul", "tiles", [](const Sizes&) { return int64_t{1}; }},  // without effect
    {"expert_tiles", "offsets", [](const Sizes& s) { return s.FirstOf("rows") + 1; }, 0,
     ValueRange::Order::kAscending},
    {"indexed_expert_matmul", "ids", [](const Sizes& s) { return s("weight", 0); }},
    {"scaled_add", "row_of", [](const Sizes& s) { return s("rows", 0); }},
    {"rope", "freq_factors", [](const Sizes&) { return int64_t{3}; }, 1},
    {"kv_append", "slots", [](const Sizes& s) { return s("k_cache", 0) * s("k_cache", 2); }, 0,
     ValueRange::Order::kDistinct},
    {"mean_pool", "seq_ids", [](const Sizes& s) { return s("lens", 0); }},
    {"mean_pool", "lens", [](const Sizes& s) { return s("x", 0) + 1; }},
    {"attention", "positions", CacheLength},
    {"attention", "seq_ids", [](const Sizes& s) { return s("block_tables", 0); }},
    {"attention", "block_tables", [](const Sizes& s) { return s("k_cache", 0); }},
    {"attention", "context_lens", [](const Sizes& s) { return CacheLength(s) + 1; }},
};

const Rule* FindRule(absl::string_view op, absl::string_view operand) {
  for (const Rule& rule : kRules) {
    if (rule.op == op && rule.operand == operand) return &rule;
  }
  return nullptr;
}

// What both ask for. Ranges of indices begin at 0, so that they always meet.
ValueRange Meet(const ValueRange& a, const ValueRange& b) {
  return {.low = std::max(a.low, b.low),
          .high = std::min(a.high, b.high),
          .order = std::max(a.order, b.order)};
}

class Collector {
 public:
  explicit Collector(const SymbolValues& symbols) : symbols_(symbols) {}

  absl::Status Visit(const Graph& graph) {
    for (const auto& node : graph.nodes()) {
      const auto types = node->OperandTypes();
      const OpCall call{node->op(), types, node->attrs()};
      if (node->op().expands_to.empty()) {
        VisitPlain(*node, call);
      } else {
        SLUICE_RETURN_IF_ERROR(VisitFused(graph.registry(), *node, call));
      }
    }
    return absl::OkStatus();
  }

  ValueRanges ranges;

 private:
  void Add(const Value* value, const ValueRange& range) {
    while (value->producer() != nullptr && value->producer()->op().is_view) {
      value = value->producer()->operand(0);
    }
    if (value->producer() != nullptr) return;
    const auto [it, is_new] = ranges.emplace(value->name(), range);
    if (!is_new) it->second = Meet(it->second, range);
  }

  void VisitPlain(const Node& node, const OpCall& call) {
    for (size_t i = 0; i < node.op().operands.size(); ++i) {
      const Rule* rule = FindRule(node.op().name, node.op().operands[i].name);
      if (rule == nullptr || node.operand(i) == nullptr) continue;
      const int64_t limit = rule->limit(Sizes(call, symbols_));
      Add(node.operand(i), {.low = rule->low, .high = limit - 1, .order = rule->order});
    }
  }

  // The operands of a fused op are the inputs of its expansion.
  absl::Status VisitFused(const OpRegistry& registry, const Node& node, const OpCall& call) {
    SLUICE_ASSIGN_OR_RETURN(const Graph inner, Expand(call, registry));
    Collector expanded(symbols_);
    SLUICE_RETURN_IF_ERROR(expanded.Visit(inner));
    for (size_t i = 0; i < node.operands().size(); ++i) {
      if (node.operand(i) == nullptr) continue;
      const auto range = expanded.ranges.find(node.op().operands[i].name);
      if (range != expanded.ranges.end()) Add(node.operand(i), range->second);
    }
    return absl::OkStatus();
  }

  const SymbolValues& symbols_;
};

}  // namespace

absl::StatusOr<ValueRanges> RangesFor(const Graph& graph, const SymbolValues& symbols) {
  Collector collector(symbols);
  SLUICE_RETURN_IF_ERROR(collector.Visit(graph));
  return std::move(collector.ranges);
}

}  // namespace sluice
