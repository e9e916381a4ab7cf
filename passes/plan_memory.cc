// plan_memory: gives every activation, and the working memory of every kernel, a place in one
// arena (one of each device), sized for the symbols' bounds. What does not live at the same time
// shares memory; a view shares its operand's place; a result takes the place of an operand that
// nobody needs afterwards, where the op allows it. Results of nodes that run once stay, in a region
// of their own.
//
//   before   %y = silu(%x) : f32[tokens,64] kernel("k")
//   after    %y = silu(%x) : f32[tokens,64] kernel("k") mem(act+0x0:32768) scratch(act+0x8000:512)
//
// Method: greedy by size (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
// Inference", 2020): the largest first, each at the lowest offset that is free for its whole
// lifetime. A value lives from its producer to its last user; outputs live to the end.
// Inputs, weights and states are not in the arena. Not for a target without a kernel list, which
// manages memory itself.
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "graph/verifier.h"
#include "passes/kernel_choice.h"
#include "passes/passes.h"
#include "passes/storage.h"

namespace sluice {
namespace {

// What the kernels want, by position of their node.
absl::StatusOr<std::vector<int64_t>> ScratchBytes(const Graph& graph,
                                                  const CompileContext& context) {
  const SymbolValues bounds = graph.Bounds();
  std::vector<int64_t> bytes;
  for (const auto& node : graph.nodes()) {
    bytes.push_back(0);
    const Target target = TargetOf(node->device(), context);
    const Kernel* kernel =
        target.kernels != nullptr ? target.kernels->Find(node->kernel()) : nullptr;
    if (kernel == nullptr || kernel->scratch == nullptr) continue;
    const absl::StatusOr<int64_t> wanted = kernel->scratch(*node, bounds, *target.caps);
    if (!wanted.ok()) {
      return absl::Status(wanted.status().code(),
                          absl::StrCat("%", node->name(), ": ", wanted.status().message()));
    }
    bytes.back() = *wanted;
  }
  return bytes;
}

// The lowest offset at which `item` fits beside the placed ones that live at the same time.
int64_t LowestFit(const Storage& item, const std::vector<const Storage*>& placed_by_offset) {
  int64_t offset = 0;
  for (const Storage* other : placed_by_offset) {
    if (other->device != item.device) continue;
    if (other->last < item.first || other->first > item.last) continue;
    if (other->offset >= offset + item.bytes) break;
    offset = std::max(offset, AlignPlace(other->offset + other->bytes));
  }
  return offset;
}

void PlaceActivations(std::vector<Storage>* storage) {
  std::vector<Storage*> by_size;
  for (Storage& item : *storage) {
    if (!item.is_constant) by_size.push_back(&item);
  }
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

// One after the other: they stay. Their kernels' scratch is at the arena's start, which nobody else
// uses while they run.
void PlaceConstants(std::vector<Storage>* storage) {
  absl::flat_hash_map<absl::string_view, int64_t> ends;  // by device
  for (Storage& item : *storage) {
    if (!item.is_constant || item.scratch_of != nullptr) continue;
    int64_t& end = ends[item.device];
    item.offset = end;
    end = AlignPlace(end + item.bytes);
  }
}

// Writes the places into the graph; true if they are new.
bool Annotate(const std::vector<Storage>& storage, Graph& graph) {
  absl::flat_hash_map<const Node*, MemSpan> scratch;
  absl::flat_hash_map<const Value*, MemSpan> places;
  for (const Storage& item : storage) {
    const bool in_arena = !item.is_constant || item.scratch_of != nullptr;
    const MemSpan span{in_arena ? "act" : "const", item.offset, item.bytes};
    if (item.scratch_of != nullptr) scratch[item.scratch_of] = span;
    for (const Value* value : item.values) places[value] = span;
  }
  const auto find = [](const auto& spans, const auto* key) -> std::optional<MemSpan> {
    const auto it = spans.find(key);
    return it != spans.end() ? std::optional<MemSpan>(it->second) : std::nullopt;
  };
  // What has no place by this plan loses one of an older plan.
  bool changed = false;
  for (const auto& node : graph.nodes()) {
    for (const auto& result : node->results()) {
      std::optional<MemSpan> span = find(places, result.get());
      changed |= result->mem() != span;
      result->set_mem(std::move(span));
    }
    std::optional<MemSpan> span = find(scratch, node.get());
    changed |= node->scratch() != span;
    node->set_scratch(std::move(span));
  }
  return changed;
}

}  // namespace

absl::StatusOr<bool> PlanMemory(Graph& graph, const CompileContext& context) {
  if (context.kernels == nullptr) return false;
  SLUICE_ASSIGN_OR_RETURN(const std::vector<int64_t> scratch, ScratchBytes(graph, context));
  SLUICE_ASSIGN_OR_RETURN(std::vector<Storage> storage, CollectStorage(graph, scratch));
  PlaceActivations(&storage);
  PlaceConstants(&storage);
  return Annotate(storage, graph);
}

}  // namespace sluice
