// plan_memory: gives every activation a place in one arena, sized for the symbols' bounds. Values
// whose lifetimes do not meet share memory; a view shares its operand's place.
//
//   before   %y = silu(%x) : f32[tokens,64]
//   after    %y = silu(%x) : f32[tokens,64] mem(act+0x0:32768)
//
// Method: greedy by size (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
// Inference", 2020): the largest value first, each at the lowest offset that is free for its whole
// lifetime. A value lives from its producer to its last user; outputs live to the end.
// Inputs, weights and states are not in the arena. Not for a target without a kernel list, which
// manages memory itself.
#include <algorithm>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "passes/passes.h"

namespace sluice {
namespace {

constexpr int64_t kAlignment = 64;  // a cache line, and the width of an AVX-512 register

// A piece of storage and the values in it: one result and the views of it.
struct Storage {
  std::vector<Value*> values;
  int64_t bytes = 0;
  int64_t first = 0, last = 0;  // nodes, by position
  int64_t offset = 0;
};

bool InArena(const Value& value) {
  return value.kind() == Value::Kind::kResult && !value.type().is_state;
}

absl::StatusOr<std::vector<Storage>> CollectStorage(const Graph& graph) {
  const SymbolValues bounds = graph.Bounds();
  std::vector<Storage> storage;
  absl::flat_hash_map<const Value*, size_t> home;
  int64_t position = 0;
  for (const auto& node : graph.nodes()) {
    for (const Value* operand : node->operands()) {
      auto it = home.find(operand);
      if (it != home.end()) storage[it->second].last = position;
    }
    for (const auto& result : node->results()) {
      if (!InArena(*result)) continue;
      auto viewed = node->op().is_view ? home.find(node->operand(0)) : home.end();
      const size_t index = viewed != home.end() ? viewed->second : storage.size();
      if (index == storage.size()) {
        storage.push_back({.first = position, .last = position});
        SLUICE_ASSIGN_OR_RETURN(storage.back().bytes, bounds.EvaluateBytes(result->type()));
      }
      home[result.get()] = index;
      storage[index].values.push_back(result.get());
    }
    ++position;
  }
  for (const Value* output : graph.outputs()) storage[home.at(output)].last = position;
  return storage;
}

// The lowest offset at which `item` fits beside the placed ones that live at the same time.
int64_t LowestFit(const Storage& item, const std::vector<const Storage*>& placed_by_offset) {
  int64_t offset = 0;
  for (const Storage* other : placed_by_offset) {
    if (other->last < item.first || other->first > item.last) continue;
    if (other->offset >= offset + item.bytes) break;
    const int64_t end = other->offset + other->bytes;
    offset = std::max(offset, (end + kAlignment - 1) / kAlignment * kAlignment);
  }
  return offset;
}

void Place(std::vector<Storage>* storage) {
  std::vector<Storage*> by_size;
  for (Storage& item : *storage) by_size.push_back(&item);
  std::stable_sort(by_size.begin(), by_size.end(),
                   [](const Storage* a, const Storage* b) { return a->bytes > b->bytes; });
  std::vector<const Storage*> placed;
  for (Storage* item : by_size) {
    item->offset = LowestFit(*item, placed);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), item,
                                   [](auto* a, auto* b) { return a->offset < b->offset; }),
                  item);
  }
}

}  // namespace

absl::StatusOr<bool> PlanMemory(Graph& graph, const CompileContext& context) {
  if (context.kernels == nullptr) return false;
  SLUICE_ASSIGN_OR_RETURN(std::vector<Storage> storage, CollectStorage(graph));
  Place(&storage);
  bool changed = false;
  for (const Storage& item : storage) {
    const MemSpan span{"act", item.offset, item.bytes};
    for (Value* value : item.values) {
      changed |= value->mem() != span;
      value->set_mem(span);
    }
  }
  return changed;
}

}  // namespace sluice
