// The IR: a Graph owns Nodes in execution order; a Node owns its result Values.
//
// Pointers to nodes and values stay valid until they are erased. Every change goes through Graph,
// which keeps use lists and names right.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/attributes.h"
#include "graph/layer.h"
#include "graph/op_def.h"
#include "graph/type.h"

namespace sluice {

class Graph;
class Node;

// Letters, digits, '.', '_', '-', at least one: names of values.
bool IsValidName(absl::string_view name);
// Letters, digits, '_', no digit first: names of symbols and attributes.
bool IsIdentifier(absl::string_view name);

struct Use {
  Node* node;
  int operand;
  friend bool operator==(const Use&, const Use&) = default;
};

// Where a value lives once memory is planned: a region of the executable and a byte range in it.
// Regions: "act", the arena of a run; "const", results of nodes that run once.
struct MemSpan {
  std::string region;
  int64_t offset = 0;
  int64_t bytes = 0;
  friend bool operator==(const MemSpan&, const MemSpan&) = default;
};

class Value {
 public:
  enum class Kind : uint8_t { kInput, kWeight, kState, kResult };

  const std::string& name() const { return name_; }
  // The name as in graph text: "@blk.0.attn_q" for a weight, "%l0.q" for anything else.
  std::string ref() const;
  Kind kind() const { return kind_; }
  const TensorType& type() const { return type_; }
  Node* producer() const { return producer_; }        // nullptr unless a result
  int result_index() const { return result_index_; }  // among the producer's results
  absl::Span<const Use> uses() const { return uses_; }

  const std::optional<MemSpan>& mem() const { return mem_; }
  void set_mem(std::optional<MemSpan> mem) { mem_ = std::move(mem); }

  // How a weight's numbers are arranged for the kernels that read it; empty: as in the file.
  const std::string& layout() const { return layout_; }
  void set_layout(std::string layout) { layout_ = std::move(layout); }

 private:
  friend class Graph;
  friend struct GraphTestPeer;
  Value(std::string name, Kind kind, TensorType type)
      : name_(std::move(name)), kind_(kind), type_(std::move(type)) {}

  std::string name_;
  Kind kind_;
  TensorType type_;
  Node* producer_ = nullptr;
  int result_index_ = 0;
  std::vector<Use> uses_;
  std::optional<MemSpan> mem_;
  std::string layout_;
};

class Node {
 public:
  const OpDef& op() const { return *op_; }
  const Attributes& attrs() const { return attrs_; }
  // Declared operand order; nullptr for an optional operand left out before a present one.
  absl::Span<Value* const> operands() const { return operands_; }
  Value* operand(size_t i) const { return i < operands_.size() ? operands_[i] : nullptr; }
  // Of a view or a transfer: what its result is, elsewhere or under another type.
  Value* source() const { return operand(0); }
  absl::Span<const std::unique_ptr<Value>> results() const { return results_; }
  Value* result(size_t i = 0) const { return results_[i].get(); }
  const std::string& name() const { return results_[0]->name(); }

  // The kernel that select_kernels chose; empty before.
  const std::string& kernel() const { return kernel_; }
  void set_kernel(std::string kernel) { kernel_ = std::move(kernel); }
  // The pass that made the node; empty if the model builder did.
  const std::string& origin() const { return origin_; }
  void set_origin(std::string origin) { origin_ = std::move(origin); }
  // The kernel's working memory, which lives as long as the node runs; absent: none.
  const std::optional<MemSpan>& scratch() const { return scratch_; }
  void set_scratch(std::optional<MemSpan> scratch) { scratch_ = std::move(scratch); }
  // The device that runs the node and holds its results, by the name of its backend; empty: there
  // is but one.
  const std::string& device() const { return device_; }
  void set_device(std::string device) { device_ = std::move(device); }
  // True if the node depends on weights alone and runs when the graph is loaded, not in every step.
  bool once() const { return once_; }
  void set_once(bool once) { once_ = once; }

  // The layer of the model that the node belongs to, from 0; -1: none. What the beginning of its
  // name says (layer.h) where nobody has set it.
  int layer() const { return layer_.has_value() ? *layer_ : LayerOf(name()); }
  void set_layer(int layer) {
    if (layer != this->layer()) layer_ = layer;
  }
  // Where and when the node runs and the layer that it belongs to become those of `other`, for
  // which it stands or beside which it was put.
  void Accompany(const Node& other);

  // Types of the operands, for OpCall. nullptr where absent.
  absl::InlinedVector<const TensorType*, 6> OperandTypes() const;

 private:
  friend class Graph;
  friend struct GraphTestPeer;
  Node() = default;

  const OpDef* op_ = nullptr;
  Attributes attrs_;
  absl::InlinedVector<Value*, 4> operands_;
  absl::InlinedVector<std::unique_ptr<Value>, 2> results_;
  std::string device_;
  std::string kernel_;
  std::string origin_;
  std::optional<MemSpan> scratch_;
  bool once_ = false;
  std::optional<int> layer_;
  int64_t order_ = 0;  // position, valid while Graph::order_valid_
};

// The layer of a value: its producer's; for a source what its name says, for a state also where its
// name says nothing, then that of the first node that uses it. -1: none.
int LayerOf(const Value& value);

// Far above what models need. They keep lists short that are searched from end to end, so that
// hostile text and messages cost linear time.
inline constexpr size_t kMaxSymbols = 32;
inline constexpr size_t kMaxOutputs = 16384;

// Positions of nodes in execution order, from `begin` to before `end`; as it is: all.
struct NodeRange {
  size_t begin = 0, end = static_cast<size_t>(-1);
};

struct SymbolDef {
  std::string name;
  int64_t bound;  // largest value that this graph is compiled for
};

// What Graph::Add needs besides the op.
struct NodeSpec {
  absl::string_view op;
  std::vector<Value*> operands;    // nullptr: optional operand left out
  Attributes attrs = {};           // values equal to the schema's default are dropped
  std::vector<std::string> names;  // one per result
  Node* before = nullptr;          // insert position; nullptr: at the end
};

class Graph {
 public:
  explicit Graph(std::string name = "", const OpRegistry* registry = &StandardOps());
  Graph(Graph&&) = default;
  Graph& operator=(Graph&&) = default;

  const std::string& name() const { return name_; }
  const OpRegistry& registry() const { return *registry_; }
  // Facts about the graph as a whole that tools show and passes may need ("layers", "block_size").
  const Attributes& attrs() const { return attrs_; }
  void SetAttr(absl::string_view name, AttrValue value) { attrs_.Set(name, std::move(value)); }

  // Symbols must be declared before a type uses them. SetBound changes an existing bound.
  absl::Status AddSymbol(absl::string_view name, int64_t bound);
  absl::Status SetBound(absl::string_view name, int64_t bound);
  absl::Span<const SymbolDef> symbols() const { return symbols_; }
  SymbolValues Bounds() const;

  // Sources. Errors: a bad or duplicate name, an undeclared symbol, a bad dimension.
  absl::StatusOr<Value*> AddInput(absl::string_view name, TensorType type);
  absl::StatusOr<Value*> AddWeight(absl::string_view name, TensorType type);
  absl::StatusOr<Value*> AddState(absl::string_view name, TensorType type);
  absl::Span<const std::unique_ptr<Value>> inputs() const { return inputs_; }
  absl::Span<const std::unique_ptr<Value>> weights() const { return weights_; }
  absl::Span<const std::unique_ptr<Value>> states() const { return states_; }

  // Adds a node and infers its result types. Errors name the node.
  absl::StatusOr<Node*> Add(NodeSpec spec);

  absl::Status AddOutput(Value* value);
  // Replaces all outputs. On an error nothing has changed.
  absl::Status SetOutputs(absl::Span<Value* const> values);
  absl::Span<Value* const> outputs() const { return outputs_; }
  bool IsOutput(const Value* value) const;

  absl::Span<const std::unique_ptr<Node>> nodes() const { return nodes_; }
  Value* Find(absl::string_view ref) const;  // "%l0.q", "@blk.0.attn_q"; nullptr if absent

  // Uses of `from`, the graph's outputs included, become uses of `to`. Types must be equal.
  void ReplaceUses(Value* from, Value* to);
  void SetOperand(Node* node, int operand, Value* value);
  // Replaces an attribute; the caller keeps result types right.
  void SetAttr(Node* node, absl::string_view name, AttrValue value);
  // Makes `value` take over `name`, which must be free or its own.
  void Rename(Value* value, absl::string_view name);
  // The node's results must have no uses.
  void Erase(Node* node);
  // Erases nodes; their results may be used by each other only. One sweep, for large batches.
  void EraseAll(absl::Span<Node* const> nodes);
  void EraseWeight(Value* weight);  // without uses
  void EraseState(Value* state);    // without uses
  // Moves `node` directly before `before`.
  void Move(Node* node, Node* before);

  // True if `a` comes before `b` in execution order.
  bool IsBefore(const Node* a, const Node* b) const;
  // `base` if that name is free for a result, otherwise base.2, base.3, ...
  std::string UniqueName(absl::string_view base) const;

  // A deep copy that shares nothing but the registry.
  Graph Clone() const;

 private:
  friend struct GraphTestPeer;
  absl::StatusOr<Value*> AddSource(absl::string_view name, TensorType type, Value::Kind kind,
                                   std::vector<std::unique_ptr<Value>>* list);
  absl::Status CheckName(absl::string_view name, Value::Kind kind) const;
  absl::Status CheckSpec(const NodeSpec& spec, const OpDef& op) const;
  void Unlink(Node* node);
  void EraseSource(Value* value, std::vector<std::unique_ptr<Value>>* list);

  std::string name_;
  const OpRegistry* registry_;
  Attributes attrs_;
  std::vector<SymbolDef> symbols_;
  std::vector<std::unique_ptr<Value>> inputs_;
  std::vector<std::unique_ptr<Value>> weights_;
  std::vector<std::unique_ptr<Value>> states_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<Value*> outputs_;
  absl::flat_hash_map<std::string, Value*> by_ref_;
  mutable bool order_valid_ = false;
};

}  // namespace sluice
