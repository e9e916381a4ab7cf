// Rules V9 and V11, which follow storage through the graph. See verifier.cc for what they say.
#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <queue>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "graph/verifier_rules.h"

namespace sluice {
namespace {

// --- V9 -------------------------------------------------------------------------------------

// Follows the updates of storage in execution order.
class InPlaceUpdates {
 public:
  void Visit(const Node& node, Faults& faults) {
    for (const Value* operand : node.operands()) {
      if (operand == nullptr) continue;
      if (const Node* writer = Writer(operand)) {
        faults.OfNode(node, "reads ", operand->ref(), " after its update in place by ",
                      NodeLine{*writer});
      }
    }
    for (size_t i = 0; i < node.results().size(); ++i) VisitResult(node, i, faults);
  }

  // The node that has overwritten `value`; nullptr if none has.
  const Node* Writer(const Value* value) const {
    auto it = writers_.find(Viewed(value));
    return it != writers_.end() ? it->second : nullptr;
  }

 private:
  const Value* Viewed(const Value* value) const {
    auto it = viewed_.find(value);
    return it != viewed_.end() ? it->second : value;
  }

  void VisitResult(const Node& node, size_t index, Faults& faults) {
    const Value& result = *node.result(index);
    const int aliased = node.op().results[index].aliases;
    if (aliased < 0) {
      if (result.type().is_state && !faults.HasOperandOf(node)) {
        faults.OfNode(node, result.ref(), " is a state, but the op updates none to make it");
      }
      if (node.op().is_view && index == 0) viewed_[&result] = Viewed(node.source());
      return;
    }
    const Value* operand = node.operand(static_cast<size_t>(aliased));
    if (operand == nullptr || !(operand->type() == result.type())) {
      if (faults.HasOperandOf(node)) return;
      return faults.OfNode(node, result.ref(), " is operand ", aliased,
                           " updated in place, expected an operand of the same type");
    }
    const Value* target = Viewed(operand);
    if (target->kind() != Value::Kind::kState && target->kind() != Value::Kind::kResult) {
      return faults.OfNode(node, "updates ", target->ref(),
                           " in place, expected a state or a result of a node");
    }
    if (!writers_.emplace(target, &node).second) {
      faults.OfNode(node, "updates ", target->ref(), " in place twice");
    }
  }

  absl::flat_hash_map<const Value*, const Value*> viewed_;  // what each view shows
  absl::flat_hash_map<const Value*, const Node*> writers_;  // by what they have overwritten
};

// --- V11 ------------------------------------------------------------------------------------

// A place in memory and the values in it: one, and the views and updates of it; or the working
// memory of a node.
struct Storage {
  const Value* value;           // the first one, or the node's first result
  int64_t first = 0, last = 0;  // lifetime: positions of nodes
  MemSpan span;
  bool is_scratch = false;
  bool is_wrong = false;  // was found in another's way
};

class Placement {
 public:
  Placement(const Graph& graph, Faults& faults)
      : graph_(graph), bounds_(graph.Bounds()), faults_(faults) {}

  void Check() {
    const int64_t end = static_cast<int64_t>(graph_.nodes().size());
    for (const auto list : {graph_.inputs(), graph_.weights(), graph_.states()}) {
      for (const auto& source : list) {
        Place(*source, nullptr, -end - 1);
        Extend(source.get(), end);
      }
    }
    // What runs once runs before everything else and stays.
    for (int64_t position = 0; position < end; ++position) {
      const Node& node = *graph_.nodes()[static_cast<size_t>(position)];
      if (!node.once()) continue;
      PlaceNode(node, position - end);
      for (const auto& result : node.results()) Extend(result.get(), end);
    }
    for (int64_t position = 0; position < end; ++position) {
      const Node& node = *graph_.nodes()[static_cast<size_t>(position)];
      if (node.once()) continue;
      for (const Value* operand : node.operands()) Extend(operand, position);
      PlaceNode(node, position);
    }
    for (const Value* output : graph_.outputs()) Extend(output, end);
    CheckOverlaps();
  }

 private:
  // The operand whose storage the result shares; nullptr if none.
  static const Value* SharedWith(const Value& result) {
    const Node& node = *result.producer();
    const auto index = static_cast<size_t>(result.result_index());
    const int aliased = node.op().results[index].aliases;
    if (aliased >= 0) return node.operand(static_cast<size_t>(aliased));
    return node.op().is_view && index == 0 ? node.source() : nullptr;
  }

  void Extend(const Value* value, int64_t position) {
    auto home = homes_.find(value);
    if (home == homes_.end()) return;
    Storage& storage = storage_[home->second];
    storage.last = std::max(storage.last, position);
  }

  void PlaceNode(const Node& node, int64_t position) {
    for (const auto& result : node.results()) Place(*result, SharedWith(*result), position);
    if (!node.scratch().has_value() || !IsRange(*node.result(), *node.scratch())) return;
    storage_.push_back({node.result(), position, position, *node.scratch(), true});
  }

  bool IsRange(const Value& value, const MemSpan& span) {
    int64_t span_end = 0;
    if (span.offset < 0 || span.bytes < 0 ||
        __builtin_add_overflow(span.offset, span.bytes, &span_end)) {
      faults_.OfValue(value, "is placed at the offset ", span.offset, " with ", span.bytes,
                      " bytes, expected a range from 0 on");
      return false;
    }
    if (span.offset % kPlaceAlignment == 0) return true;
    faults_.OfValue(value, "is placed at the offset 0x", absl::Hex(span.offset),
                    ", expected a multiple of ", kPlaceAlignment);
    return false;
  }

  bool IsLargeEnough(const Value& value, const MemSpan& span) {
    const int64_t bytes = *bounds_.EvaluateBytes(value.type());  // fits: V7
    if (span.bytes >= bytes) return true;
    faults_.OfValue(value, "has a place of ", span.bytes, " bytes, but ", value.type().ToString(),
                    " takes ", bytes, " at the symbols' bounds");
    return false;
  }

  // What has no sound place is left out, and so is what shares it.
  void Place(const Value& value, const Value* shared, int64_t position) {
    const std::optional<MemSpan>& span = value.mem();
    if (span.has_value() && (!IsRange(value, *span) || !IsLargeEnough(value, *span))) {
      misplaced_.insert(&value);
      return;
    }
    if (misplaced_.contains(shared)) {
      misplaced_.insert(&value);
      return;
    }
    auto home = homes_.find(shared);
    if (home == homes_.end()) {
      if (!span.has_value()) return;
      homes_[&value] = storage_.size();
      storage_.push_back({&value, position, position, *span});
      return;
    }
    const size_t index = home->second;
    homes_[&value] = index;
    Storage& storage = storage_[index];
    storage.last = std::max(storage.last, position);
    if (!span.has_value()) return;
    if (span->region != storage.span.region || span->offset != storage.span.offset) {
      return faults_.OfValue(value, "shares the storage of ", storage.value->ref(),
                             " but has another place");
    }
    storage.span.bytes = std::max(storage.span.bytes, span->bytes);
  }

  using Start = std::tuple<absl::string_view, absl::string_view, int64_t>;
  using Living = std::map<Start, Storage*>;

  // Sweeps over time. What lives at one time does not overlap, as of two that do the wrong one is
  // left out, so that only the neighbours of a newcomer can.
  void CheckOverlaps() {
    Living living;
    const auto dies_later = [](const Storage* a, const Storage* b) { return a->last > b->last; };
    std::priority_queue<const Storage*, std::vector<const Storage*>, decltype(dies_later)> deaths(
        dies_later);
    for (Storage& storage : storage_) {
      while (!deaths.empty() && deaths.top()->last < storage.first) {
        const auto dead = living.find(StartOf(*deaths.top()));
        if (dead != living.end() && dead->second == deaths.top()) living.erase(dead);
        deaths.pop();
      }
      const Start start = StartOf(storage);
      const auto same = living.find(start);
      if (same != living.end() && TakesOver(storage, *same->second)) living.erase(same);
      if (!MakesRoom(storage, &living)) continue;
      living.emplace(start, &storage);
      deaths.push(&storage);
    }
  }

  // Leaves out older ones that are in the newer one's way and wrong; false if that one is.
  bool MakesRoom(Storage& newer, Living* living) {
    while (true) {
      const auto next = living->lower_bound(StartOf(newer));
      auto older = next;
      if (next == living->end() || !Overlap(*next->second, newer)) {
        if (next == living->begin() || !Overlap(*std::prev(next)->second, newer)) return true;
        older = std::prev(next);
      }
      if (!BlamesOlder(*older->second, newer)) return false;
      living->erase(older);
    }
  }

  static Start StartOf(const Storage& storage) {
    return {DeviceOf(storage), storage.span.region, storage.span.offset};
  }
  static absl::string_view DeviceOf(const Storage& storage) {
    const Node* producer = storage.value->producer();
    return producer != nullptr ? absl::string_view(producer->device()) : "";
  }

  // Whether the newer storage is that of a result that may stand in the older one's place: its
  // op says so of an operand that lives there, is used by that node once and has no later use.
  bool TakesOver(const Storage& newer, const Storage& older) const {
    const Node* node = newer.value->producer();
    if (newer.is_scratch || node == nullptr || node->once() || older.last != newer.first)
      return false;
    const int wanted =
        node->op().results[static_cast<size_t>(newer.value->result_index())].in_place;
    if (wanted < 0) return false;
    int64_t uses = 0;
    for (const Value* operand : node->operands()) {
      auto home = homes_.find(operand);
      uses += home != homes_.end() && &storage_[home->second] == &older;
    }
    auto home = homes_.find(node->operand(static_cast<size_t>(wanted)));
    return uses == 1 && home != homes_.end() && &storage_[home->second] == &older;
  }

  static bool Overlap(const Storage& a, const Storage& b) {
    return DeviceOf(a) == DeviceOf(b) && a.span.region == b.span.region &&
           a.span.offset < b.span.offset + b.span.bytes &&
           b.span.offset < a.span.offset + a.span.bytes;
  }

  // How many others the storage overlaps, but for wrong ones.
  int64_t OverlapsOf(const Storage& storage) const {
    return std::count_if(storage_.begin(), storage_.end(), [&](const Storage& other) {
      if (&other == &storage || other.is_wrong || other.last < storage.first ||
          storage.last < other.first) {
        return false;
      }
      const auto [older, newer] = std::minmax({&storage, &other});  // by begin of life
      const bool takes_over = StartOf(*older) == StartOf(*newer) && TakesOver(*newer, *older);
      return Overlap(storage, other) && !takes_over;
    });
  }

  // See V11 for whose fault it is. Faults that are not told anyway are the newer one's: to count
  // takes long.
  bool BlamesOlder(Storage& older, Storage& newer) {
    const bool is_older = !faults_.is_full() && OverlapsOf(older) > OverlapsOf(newer);
    Storage& wrong = is_older ? older : newer;
    wrong.is_wrong = true;
    const Storage& other = is_older ? newer : older;
    const auto place = [](const MemSpan& span) {
      return absl::StrCat(span.bytes, " bytes at ", span.region, "+0x", absl::Hex(span.offset));
    };
    const auto name = [](const Storage& storage) {
      return absl::StrCat(storage.is_scratch ? "the scratch memory of " : "", storage.value->ref());
    };
    const std::string what =
        absl::StrCat("has ", place(wrong.span), ", where ", name(other),
                     is_older ? " will have " : " still has ", place(other.span));
    if (wrong.is_scratch) {
      faults_.OfNode(*wrong.value->producer(), name(wrong), " ", what);
    } else {
      faults_.OfValue(*wrong.value, what);
    }
    return is_older;
  }

  const Graph& graph_;
  SymbolValues bounds_;
  Faults& faults_;
  std::vector<Storage> storage_;                     // by begin of life
  absl::flat_hash_map<const Value*, size_t> homes_;  // in storage_
  absl::flat_hash_set<const Value*> misplaced_;
};

}  // namespace

void CheckInPlace(const Graph& graph, Faults& faults) {
  InPlaceUpdates updates;
  for (const auto& node : graph.nodes()) updates.Visit(*node, faults);
  for (const Value* output : graph.outputs()) {
    if (const Node* writer = updates.Writer(output)) {
      faults.OfNode(*writer, "updates an output of the graph in place");
    }
  }
}

void CheckMemory(const Graph& graph, Faults& faults) { Placement(graph, faults).Check(); }

}  // namespace sluice
