#include "tools/debug/reduce.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "graph/verifier.h"

namespace sluice {
namespace {

// What a smaller graph leaves of a larger one.
struct Edit {
  const Node* last = nullptr;                                    // the only node that is wanted
  absl::flat_hash_set<const Value*> cut;                         // results that become sources
  absl::flat_hash_map<const Value*, const Value*> replaced;      // by an operand of their node
  absl::flat_hash_set<std::pair<const Node*, size_t>> left_out;  // operands
  std::pair<std::string, int64_t> bound;                         // of a symbol; "": none
};

// Builds the graph that an edit leaves.
class Builder {
 public:
  Builder(const Graph& from, const Edit& edit)
      : from_(from), edit_(edit), to_(from.name(), &from.registry()) {}

  absl::StatusOr<Graph> Build() && {
    MarkNeeded();
    for (const auto& [name, value] : from_.attrs()) to_.SetAttr(name, value);
    for (const SymbolDef& symbol : from_.symbols()) {
      if (!IsUsed(symbol.name)) continue;
      const int64_t bound = symbol.name == edit_.bound.first ? edit_.bound.second : symbol.bound;
      SLUICE_RETURN_IF_ERROR(to_.AddSymbol(symbol.name, bound));
    }
    for (const auto list : {from_.inputs(), from_.weights(), from_.states()}) {
      for (const auto& source : list) {
        if (needed_.contains(source.get())) SLUICE_RETURN_IF_ERROR(AddSource(*source));
      }
    }
    for (const auto& node : from_.nodes()) {
      SLUICE_RETURN_IF_ERROR(AddNode(*node));
    }
    SLUICE_RETURN_IF_ERROR(AddOutputs());
    SLUICE_RETURN_IF_ERROR(Verify(to_));
    return std::move(to_);
  }

 private:
  bool IsCut(const Value* value) const { return edit_.cut.contains(value); }

  // What stands where `value` stood.
  const Value* Resolve(const Value* value) const {
    for (auto it = edit_.replaced.find(value); it != edit_.replaced.end();
         it = edit_.replaced.find(value)) {
      value = it->second;
    }
    return value;
  }

  const Value* Operand(const Node& node, size_t i) const {
    if (node.operand(i) == nullptr || edit_.left_out.contains({&node, i})) return nullptr;
    return Resolve(node.operand(i));
  }

  // A node of whose results nothing is left is not wanted for its effect either.
  bool IsGone(const Node& node) const {
    const auto results = node.results();
    const auto removed = [&](const auto& r) {
      return IsCut(r.get()) || edit_.replaced.contains(r.get());
    };
    return std::any_of(results.begin(), results.end(), removed) &&
           std::all_of(results.begin(), results.end(), [&](const auto& r) {
             return removed(r) || (r->uses().empty() && !from_.IsOutput(r.get()));
           });
  }

  bool IsWanted(const Node& node) const {
    if (edit_.last != nullptr) return false;
    if (node.op().UpdatesState()) return true;
    const auto results = node.results();
    return std::any_of(results.begin(), results.end(),
                       [&](const auto& r) { return from_.IsOutput(r.get()); });
  }

  bool IsNeeded(const Node& node) const {
    const auto results = node.results();
    return wanted_.contains(&node) ||
           std::any_of(results.begin(), results.end(),
                       [&](const auto& r) { return needed_.contains(r.get()) && !IsCut(r.get()); });
  }

  void MarkNeeded() {
    const auto nodes = from_.nodes();
    for (auto it = nodes.rbegin(); it != nodes.rend(); ++it) {
      const Node& node = **it;
      if (edit_.last == &node || (IsWanted(node) && !IsGone(node))) wanted_.insert(&node);
      if (!IsNeeded(node)) continue;
      for (size_t i = 0; i < node.operands().size(); ++i) {
        if (const Value* operand = Operand(node, i)) needed_.insert(operand);
      }
    }
  }

  bool IsUsed(const std::string& symbol) const {
    const auto in_shape = [&](const Shape& shape) {
      return std::any_of(shape.begin(), shape.end(),
                         [&](const Dim& dim) { return dim.symbol() == symbol; });
    };
    const auto in_node = [&](const auto& node) {
      if (!IsNeeded(*node)) return false;
      const auto results = node->results();
      const auto& attrs = node->attrs();
      return std::any_of(results.begin(), results.end(),
                         [&](const auto& r) { return in_shape(r->type().shape); }) ||
             std::any_of(attrs.begin(), attrs.end(), [&](const auto& attr) {
               const Shape* shape = std::get_if<Shape>(&attr.second);
               return shape != nullptr && in_shape(*shape);
             });
    };
    const auto nodes = from_.nodes();
    return std::any_of(needed_.begin(), needed_.end(),
                       [&](const Value* v) { return in_shape(v->type().shape); }) ||
           std::any_of(nodes.begin(), nodes.end(), in_node);
  }

  absl::Status AddSource(const Value& value) {
    absl::StatusOr<Value*> added;
    switch (KindFor(value)) {
      case Value::Kind::kState:
        added = to_.AddState(value.name(), value.type());
        break;
      case Value::Kind::kWeight:
        added = to_.AddWeight(value.name(), value.type());
        break;
      default:
        added = to_.AddInput(value.name(), value.type());
    }
    SLUICE_RETURN_IF_ERROR(added.status());
    if (value.kind() != Value::Kind::kResult) {
      (*added)->set_mem(value.mem());
      (*added)->set_layout(value.layout());
    }
    new_[&value] = *added;
    return absl::OkStatus();
  }

  static Value::Kind KindFor(const Value& value) {
    if (value.kind() != Value::Kind::kResult) return value.kind();
    if (value.type().is_state) return Value::Kind::kState;
    return value.producer()->once() ? Value::Kind::kWeight : Value::Kind::kInput;
  }

  absl::Status AddNode(const Node& node) {
    for (const auto& result : node.results()) {
      if (IsCut(result.get()) && needed_.contains(result.get())) {
        SLUICE_RETURN_IF_ERROR(AddSource(*result));
      }
    }
    if (!IsNeeded(node)) return absl::OkStatus();
    NodeSpec spec{.op = node.op().name, .attrs = node.attrs()};
    for (size_t i = 0; i < node.operands().size(); ++i) {
      const Value* operand = Operand(node, i);
      const bool drop = node.operand(i) != nullptr && operand == nullptr && IsVariadic(node, i);
      if (!drop) spec.operands.push_back(operand != nullptr ? new_.at(operand) : nullptr);
    }
    for (const auto& result : node.results()) {
      // The name of a result that was cut is its source's now.
      spec.names.push_back(IsCut(result.get()) ? to_.UniqueName(result->name() + ".old")
                                               : result->name());
    }
    SLUICE_ASSIGN_OR_RETURN(Node * added, to_.Add(std::move(spec)));
    added->set_kernel(node.kernel());
    added->set_origin(node.origin());
    added->set_scratch(node.scratch());
    added->set_once(node.once());
    added->set_layer(node.layer());
    for (size_t i = 0; i < node.results().size(); ++i) {
      const Value* result = node.result(i);
      added->result(i)->set_mem(result->mem());
      if (!IsCut(result)) new_[result] = added->result(i);
    }
    return absl::OkStatus();
  }

  static bool IsVariadic(const Node& node, size_t operand) {
    const auto& defs = node.op().operands;
    return defs.back().variadic && operand + 1 >= defs.size();
  }

  absl::Status AddOutputs() {
    std::vector<const Value*> outputs;
    if (edit_.last != nullptr) {
      for (const auto& result : edit_.last->results()) outputs.push_back(result.get());
    } else {
      outputs.assign(from_.outputs().begin(), from_.outputs().end());
    }
    for (const Value* output : outputs) {
      const auto it = new_.find(Resolve(output));
      if (it == new_.end() || it->second->kind() != Value::Kind::kResult ||
          it->second->type().is_state || to_.IsOutput(it->second)) {
        continue;
      }
      SLUICE_RETURN_IF_ERROR(to_.AddOutput(it->second));
    }
    return absl::OkStatus();
  }

  const Graph& from_;
  const Edit& edit_;
  Graph to_;
  absl::flat_hash_set<const Node*> wanted_;
  absl::flat_hash_set<const Value*> needed_;  // operands of nodes that are needed
  absl::flat_hash_map<const Value*, Value*> new_;
};

// What reduction brings down: nodes, operands and bounds.
int64_t SizeOf(const Graph& graph) {
  auto size = static_cast<int64_t>(graph.nodes().size());
  for (const auto& node : graph.nodes()) {
    size += std::count_if(node->operands().begin(), node->operands().end(),
                          [](const Value* operand) { return operand != nullptr; });
  }
  for (const SymbolDef& symbol : graph.symbols()) size += symbol.bound;
  return size;
}

class Reducer {
 public:
  Reducer(Graph graph, const FailsOn& fails, const ReduceOptions& options)
      : graph_(std::move(graph)), fails_(fails), options_(options) {}

  Graph Run() && {
    FindEnd();
    for (bool smaller = true; smaller;) {
      smaller = CutValues();
      smaller |= BypassNodes();
      smaller |= LeaveOutOperands();
      smaller |= LowerBounds();
    }
    return std::move(graph_);
  }

 private:
  // Keeps what the edit leaves if that is a valid graph, has a node, is smaller, and fails.
  bool Try(const Edit& edit) {
    if (attempts_ >= options_.max_attempts) return false;
    absl::StatusOr<Graph> smaller = Builder(graph_, edit).Build();
    if (!smaller.ok() || smaller->nodes().empty() || SizeOf(*smaller) >= SizeOf(graph_)) {
      return false;
    }
    ++attempts_;
    const bool keep = fails_(*smaller);
    if (keep) graph_ = *std::move(smaller);
    if (options_.progress) options_.progress(attempts_, graph_);
    return keep;
  }

  bool TryAsLast(const Node& node) {
    Edit edit;
    edit.last = &node;
    return Try(edit);
  }

  // The suspect if there is one; else a node found by halving, because what needs a node that fails
  // mostly fails, too; else any.
  void FindEnd() {
    const Value* suspect = options_.suspect.empty() ? nullptr : graph_.Find(options_.suspect);
    if (suspect != nullptr && suspect->producer() != nullptr && TryAsLast(*suspect->producer())) {
      return;
    }
    bool found = false;
    for (size_t begin = 0, end = graph_.nodes().size(); begin < end;) {
      const size_t middle = begin + (end - begin) / 2;
      if (TryAsLast(*graph_.nodes()[middle])) {
        found = true;
        begin = 0;  // in the smaller graph, whose last node is this one
        end = graph_.nodes().size() - 1;
      } else {
        begin = middle + 1;
      }
    }
    for (size_t i = 0; !found && i < graph_.nodes().size(); ++i) {
      found = TryAsLast(*graph_.nodes()[i]);
    }
  }

  // Large pieces first, then ever smaller ones: most graphs shrink at once to one node.
  bool CutValues() {
    bool changed = false;
    for (size_t size = graph_.nodes().size(); size > 0; size /= 2) {
      for (size_t begin = 0; begin < graph_.nodes().size(); begin += size) {
        Edit edit;
        for (size_t i = begin; i < std::min(begin + size, graph_.nodes().size()); ++i) {
          for (const auto& result : graph_.nodes()[i]->results()) {
            if (!result->uses().empty() || result->type().is_state) edit.cut.insert(result.get());
          }
        }
        if (edit.cut.empty() || !Try(edit)) continue;
        changed = true;
        begin -= std::min(begin, size);  // what follows has moved up
      }
    }
    return changed;
  }

  bool BypassNodes() {
    bool changed = false;
    for (size_t i = graph_.nodes().size(); i-- > 0;) {
      changed |= i < graph_.nodes().size() && Bypass(*graph_.nodes()[i]);
    }
    return changed;
  }

  bool Bypass(const Node& node) {
    for (const auto& result : node.results()) {
      if (result->uses().empty()) continue;
      for (const Value* operand : node.operands()) {
        if (operand == nullptr || !(operand->type() == result->type())) continue;
        Edit edit;
        edit.replaced[result.get()] = operand;
        if (Try(edit)) return true;
      }
    }
    return false;
  }

  bool LeaveOutOperands() {
    bool changed = false;
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      for (size_t i = graph_.nodes()[n]->operands().size(); i-- > 0;) {
        const Node& node = *graph_.nodes()[n];
        if (node.operand(i) == nullptr) continue;
        Edit edit;
        edit.left_out.insert({&node, i});
        changed |= Try(edit);
        if (n >= graph_.nodes().size()) return changed;
      }
    }
    return changed;
  }

  bool LowerBounds() {
    bool changed = false;
    for (const SymbolDef& symbol :
         std::vector<SymbolDef>(graph_.symbols().begin(), graph_.symbols().end())) {
      for (int64_t low = 1, high = symbol.bound; low < high;) {
        const int64_t middle = low + (high - low) / 2;
        Edit edit;
        edit.bound = {symbol.name, middle};
        if (Try(edit)) {
          high = middle;
          changed = true;
        } else {
          low = middle + 1;
        }
      }
    }
    return changed;
  }

  Graph graph_;
  const FailsOn& fails_;
  const ReduceOptions& options_;
  int64_t attempts_ = 0;
};

}  // namespace

absl::StatusOr<Graph> Reduce(const Graph& graph, const FailsOn& fails,
                             const ReduceOptions& options) {
  if (!fails(graph)) return absl::InvalidArgumentError("the graph does not fail as it is");
  return Reducer(graph.Clone(), fails, options).Run();
}

}  // namespace sluice
