#include "passes/storage.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

class Collector {
 public:
  Collector(const Graph& graph, const std::vector<int64_t>& scratch)
      : graph_(graph), scratch_(scratch), bounds_(graph.Bounds()) {}

  absl::StatusOr<std::vector<Storage>> Run() && {
    FindLastUses();
    for (const auto& node : graph_.nodes()) {
      for (size_t i = 0; i < node->results().size(); ++i) {
        SLUICE_RETURN_IF_ERROR(AddResult(*node, i));
      }
      AddScratch(node.get());
      ++position_;
    }
    return std::move(storage_);
  }

 private:
  // The position of the last node that needs a value: the user of it or of a view of it.
  void FindLastUses() {
    const auto end = static_cast<int64_t>(graph_.nodes().size());
    for (const Value* output : graph_.outputs()) last_use_[output] = end;
    for (int64_t position = end - 1; position >= 0; --position) {
      const Node& node = *graph_.nodes()[static_cast<size_t>(position)];
      for (const Value* operand : node.operands()) {
        if (operand == nullptr) continue;
        int64_t last = position;
        if (node.op().is_view && operand == node.source()) {
          last = std::max(last, last_use_[node.result()]);
        }
        int64_t& known = last_use_[operand];
        known = std::max(known, last);
      }
    }
  }

  absl::Status AddResult(const Node& node, size_t index) {
    Value* result = node.result(index);
    if (result->type().is_state) return absl::OkStatus();
    const bool is_view = node.op().is_view && index == 0;
    if (is_view && !home_.contains(node.source())) return absl::OkStatus();  // of a source
    const Value* shared = is_view ? node.source() : Overwritten(node, index);
    const int64_t last = std::max(position_, last_use_[result]);
    if (shared == nullptr) {
      home_[result] = storage_.size();
      Storage& storage = storage_.emplace_back(Storage{
          .device = node.device(), .first = position_, .last = last, .is_constant = node.once()});
      SLUICE_ASSIGN_OR_RETURN(storage.bytes, bounds_.EvaluateBytes(result->type()));
    }
    const size_t home = shared != nullptr ? home_.at(shared) : home_.at(result);
    home_[result] = home;
    storage_[home].values.push_back(result);
    storage_[home].last = std::max(storage_[home].last, last);
    return absl::OkStatus();
  }

  // The operand in whose place the result can be written: what lives there is needed by this node
  // alone, and by it once. nullptr if there is none.
  const Value* Overwritten(const Node& node, size_t index) const {
    const int wanted = node.op().results[index].in_place;
    if (wanted < 0 || node.once()) return nullptr;
    const Value* operand = node.operand(static_cast<size_t>(wanted));
    const auto home = home_.find(operand);
    if (home == home_.end() || !(operand->type() == node.result(index)->type())) return nullptr;
    const Storage& storage = storage_[home->second];
    const bool is_taken = storage.values.back()->producer() == &node;  // by another result
    if (is_taken || storage.is_constant || storage.last != position_) return nullptr;
    const auto users =
        std::count_if(node.operands().begin(), node.operands().end(), [&](const Value* other) {
          const auto it = home_.find(other);
          return it != home_.end() && it->second == home->second;
        });
    return users == 1 ? operand : nullptr;
  }

  void AddScratch(Node* node) {
    const auto index = static_cast<size_t>(position_);
    if (index >= scratch_.size() || scratch_[index] == 0) return;
    storage_.push_back({.scratch_of = node,
                        .device = node->device(),
                        .bytes = scratch_[index],
                        .first = position_,
                        .last = position_,
                        .is_constant = node->once()});
  }

  const Graph& graph_;
  const std::vector<int64_t>& scratch_;
  const SymbolValues bounds_;
  int64_t position_ = 0;
  std::vector<Storage> storage_;
  absl::flat_hash_map<const Value*, size_t> home_;  // in storage_
  absl::flat_hash_map<const Value*, int64_t> last_use_;
};

}  // namespace

absl::StatusOr<std::vector<Storage>> CollectStorage(const Graph& graph,
                                                    const std::vector<int64_t>& scratch) {
  return Collector(graph, scratch).Run();
}

int64_t LowerBound(const std::vector<Storage>& storage) {
  int64_t end = 0;
  for (const Storage& item : storage) end = std::max(end, item.last);
  absl::flat_hash_map<absl::string_view, std::vector<int64_t>> changes;  // by device
  for (const Storage& item : storage) {
    if (item.is_constant) continue;
    std::vector<int64_t>& change = changes[item.device];
    change.resize(static_cast<size_t>(end) + 2);
    change[static_cast<size_t>(item.first)] += item.bytes;
    change[static_cast<size_t>(item.last) + 1] -= item.bytes;
  }
  int64_t sum = 0;
  for (const auto& [device, change] : changes) {
    int64_t living = 0, most = 0;
    for (const int64_t step : change) most = std::max(most, living += step);
    sum += most;
  }
  return sum;
}

}  // namespace sluice
