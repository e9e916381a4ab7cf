#include "graph/graph.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "graph/load_common.h"
#include "graph/nearest_name.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

bool IsNameChar(char c) { return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-'; }

std::string MakeRef(absl::string_view name, Value::Kind kind) {
  return absl::StrCat(kind == Value::Kind::kWeight ? "@" : "%", name);
}

template <typename T>
void EraseOwned(std::vector<std::unique_ptr<T>>* list, const T* item) {
  auto it = std::find_if(list->begin(), list->end(), [&](auto& p) { return p.get() == item; });
  list->erase(it);
}

}  // namespace

bool IsValidName(absl::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), IsNameChar);
}

bool IsIdentifier(absl::string_view name) {
  return !name.empty() && !absl::ascii_isdigit(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
}

std::string Value::ref() const { return MakeRef(name_, kind_); }

absl::InlinedVector<const TensorType*, 6> Node::OperandTypes() const {
  absl::InlinedVector<const TensorType*, 6> types;
  for (const Value* value : operands_) types.push_back(value ? &value->type() : nullptr);
  return types;
}

Graph::Graph(std::string name, const OpRegistry* registry)
    : name_(std::move(name)), registry_(registry) {}

absl::Status Graph::AddSymbol(absl::string_view name, int64_t bound) {
  if (!IsIdentifier(name)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", name, "' is no name for a symbol: expected letters, digits, _, no digit first"));
  }
  if (symbols_.size() == kMaxSymbols) {
    return absl::InvalidArgumentError(
        absl::StrCat("symbol '", name, "' is one too many, expected at most ", kMaxSymbols));
  }
  if (Bounds().Get(name) >= 0) {
    return absl::InvalidArgumentError(absl::StrCat("symbol '", name, "' is declared twice"));
  }
  symbols_.push_back({std::string(name), 0});
  absl::Status status = SetBound(name, bound);
  if (!status.ok()) symbols_.pop_back();
  return status;
}

absl::Status Graph::SetBound(absl::string_view name, int64_t bound) {
  if (bound < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("symbol '", name, "' has the bound ", bound, ", expected at least 1"));
  }
  for (SymbolDef& symbol : symbols_) {
    if (symbol.name == name) {
      symbol.bound = bound;
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the graph has no symbol '", name, "'", DidYouMean(name, NamesOf(symbols_))));
}

SymbolValues Graph::Bounds() const {
  SymbolValues values;
  for (const SymbolDef& symbol : symbols_) values.Set(symbol.name, symbol.bound);
  return values;
}

absl::Status Graph::CheckName(absl::string_view name, Value::Kind kind) const {
  if (!IsValidName(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", name, "' is no name for a value: expected letters, digits, . _ -"));
  }
  const std::string ref = MakeRef(name, kind);
  if (by_ref_.contains(ref)) {
    return absl::InvalidArgumentError(absl::StrCat(ref, " is defined twice"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Value*> Graph::AddSource(absl::string_view name, TensorType type, Value::Kind kind,
                                        std::vector<std::unique_ptr<Value>>* list) {
  SLUICE_RETURN_IF_ERROR(CheckName(name, kind));
  if (type.is_state != (kind == Value::Kind::kState)) {
    return absl::InvalidArgumentError(absl::StrCat(MakeRef(name, kind), " has the type ",
                                                   type.ToString(),
                                                   ", but only states are state<...>"));
  }
  if (absl::Status status = CheckType(type, Bounds()); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(MakeRef(name, kind), ": ", status.message()));
  }
  list->push_back(std::unique_ptr<Value>(new Value(std::string(name), kind, std::move(type))));
  Value* value = list->back().get();
  by_ref_.emplace(value->ref(), value);
  return value;
}

absl::StatusOr<Value*> Graph::AddInput(absl::string_view name, TensorType type) {
  return AddSource(name, std::move(type), Value::Kind::kInput, &inputs_);
}
absl::StatusOr<Value*> Graph::AddWeight(absl::string_view name, TensorType type) {
  return AddSource(name, std::move(type), Value::Kind::kWeight, &weights_);
}
absl::StatusOr<Value*> Graph::AddState(absl::string_view name, TensorType type) {
  return AddSource(name, std::move(type), Value::Kind::kState, &states_);
}

absl::Status Graph::CheckSpec(const NodeSpec& spec, const OpDef& op) const {
  if (spec.names.size() != op.results.size()) {
    return absl::InvalidArgumentError(absl::StrCat("'", spec.op, "' has ", op.results.size(),
                                                   " results, but ", spec.names.size(),
                                                   " names were given"));
  }
  absl::flat_hash_set<absl::string_view> own;
  for (const std::string& name : spec.names) {
    SLUICE_RETURN_IF_ERROR(CheckName(name, Value::Kind::kResult));
    if (!own.insert(name).second) {
      return absl::InvalidArgumentError(absl::StrCat("%", name, " is defined twice"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Node*> Graph::Add(NodeSpec spec) {
  const auto fail = [&](absl::string_view message) {
    return absl::InvalidArgumentError(absl::StrCat(
        spec.names.empty() ? "node" : absl::StrCat("%", spec.names[0]), ": ", message));
  };
  const OpDef* op = registry_->Find(spec.op);
  if (op == nullptr) {
    return fail(absl::StrCat("unknown op '", spec.op, "' (`sluice ops` lists the known ones)",
                             DidYouMean(spec.op, NamesOf(registry_->ops()))));
  }
  if (absl::Status status = CheckSpec(spec, *op); !status.ok()) return fail(status.message());
  while (!spec.operands.empty() && spec.operands.back() == nullptr) spec.operands.pop_back();

  auto node = std::unique_ptr<Node>(new Node());
  node->op_ = op;
  node->attrs_ = std::move(spec.attrs);
  TakeWholeNumbersAsFloats(*op, &node->attrs_);
  node->operands_.assign(spec.operands.begin(), spec.operands.end());
  const auto operand_types = node->OperandTypes();
  absl::StatusOr<std::vector<TensorType>> types = InferResults({*op, operand_types, node->attrs_});
  if (!types.ok()) return fail(types.status().message());
  for (const AttrDef& attr : op->attrs) {  // one spelling: a default is not written
    const AttrValue* value = node->attrs_.Find(attr.name);
    if (value != nullptr && attr.default_value.has_value() && *value == *attr.default_value) {
      node->attrs_.Erase(attr.name);
    }
  }
  const SymbolValues bounds = Bounds();
  for (const TensorType& type : *types) {  // all, before the first name is taken
    if (absl::Status status = CheckType(type, bounds); !status.ok()) return fail(status.message());
  }
  for (size_t i = 0; i < types->size(); ++i) {
    auto value = std::unique_ptr<Value>(
        new Value(spec.names[i], Value::Kind::kResult, std::move((*types)[i])));
    value->producer_ = node.get();
    value->result_index_ = static_cast<int>(i);
    by_ref_.emplace(value->ref(), value.get());
    node->results_.push_back(std::move(value));
  }
  for (size_t i = 0; i < node->operands_.size(); ++i) {
    if (node->operands_[i] != nullptr) {
      node->operands_[i]->uses_.push_back({node.get(), static_cast<int>(i)});
    }
  }
  auto position = nodes_.end();
  if (spec.before != nullptr) {
    position = std::find_if(nodes_.begin(), nodes_.end(),
                            [&](const auto& n) { return n.get() == spec.before; });
  }
  order_valid_ = false;
  return nodes_.insert(position, std::move(node))->get();
}

void Node::Accompany(const Node& other) {
  device_ = other.device_;
  once_ = other.once_;
  set_layer(other.layer());
}

int LayerOf(const Value& value) {
  if (value.producer() != nullptr) return value.producer()->layer();
  const int layer = LayerOf(value.name());
  const bool asks_users = layer < 0 && value.type().is_state && !value.uses().empty();
  return asks_users ? value.uses().front().node->layer() : layer;
}

absl::Status Graph::SetOutputs(absl::Span<Value* const> values) {
  std::vector<Value*> before = std::exchange(outputs_, {});
  for (Value* value : values) {
    absl::Status status = AddOutput(value);
    if (status.ok()) continue;
    outputs_ = std::move(before);
    return status;
  }
  return absl::OkStatus();
}

absl::Status Graph::AddOutput(Value* value) {
  if (IsOutput(value)) {
    return absl::InvalidArgumentError(absl::StrCat(value->ref(), " is an output twice"));
  }
  if (value->kind() != Value::Kind::kResult || value->type().is_state) {
    return absl::InvalidArgumentError(
        absl::StrCat(value->ref(), " cannot be an output: expected a node's tensor result"));
  }
  if (outputs_.size() == kMaxOutputs) {
    return absl::InvalidArgumentError(
        absl::StrCat(value->ref(), " is one output too many, expected at most ", kMaxOutputs));
  }
  outputs_.push_back(value);
  return absl::OkStatus();
}

bool Graph::IsOutput(const Value* value) const {
  return std::find(outputs_.begin(), outputs_.end(), value) != outputs_.end();
}

Value* Graph::Find(absl::string_view ref) const {
  auto it = by_ref_.find(ref);
  return it == by_ref_.end() ? nullptr : it->second;
}

void Graph::ReplaceUses(Value* from, Value* to) {
  if (from == to) return;
  for (const Use& use : from->uses_) {
    use.node->operands_[static_cast<size_t>(use.operand)] = to;
    to->uses_.push_back(use);
  }
  from->uses_.clear();
  std::replace(outputs_.begin(), outputs_.end(), from, to);
}

void Graph::SetOperand(Node* node, int operand, Value* value) {
  const auto index = static_cast<size_t>(operand);
  if (index >= node->operands_.size()) node->operands_.resize(index + 1);
  Value*& slot = node->operands_[index];
  if (slot == value) return;
  if (slot != nullptr) {
    auto& uses = slot->uses_;
    uses.erase(std::find(uses.begin(), uses.end(), Use{node, operand}));
  }
  slot = value;
  if (value != nullptr) value->uses_.push_back({node, operand});
}

void Graph::SetAttr(Node* node, absl::string_view name, AttrValue value) {
  const AttrDef* def = node->op().FindAttr(name);
  if (def != nullptr && def->default_value.has_value() && *def->default_value == value) {
    node->attrs_.Erase(name);
  } else {
    node->attrs_.Set(name, std::move(value));
  }
}

void Graph::Rename(Value* value, absl::string_view name) {
  by_ref_.erase(value->ref());
  value->name_ = std::string(name);
  by_ref_.emplace(value->ref(), value);
}

void Graph::Unlink(Node* node) {
  for (size_t i = 0; i < node->operands_.size(); ++i) {
    SetOperand(node, static_cast<int>(i), nullptr);
  }
  for (const auto& result : node->results_) by_ref_.erase(result->ref());
}

void Graph::Erase(Node* node) { EraseAll({&node, 1}); }

void Graph::EraseAll(absl::Span<Node* const> nodes) {
  const absl::flat_hash_set<const Node*> doomed(nodes.begin(), nodes.end());
  for (Node* node : nodes) Unlink(node);
  std::erase_if(nodes_, [&](const auto& node) { return doomed.contains(node.get()); });
  order_valid_ = false;
}

void Graph::EraseSource(Value* value, std::vector<std::unique_ptr<Value>>* list) {
  by_ref_.erase(value->ref());
  EraseOwned(list, value);
}
void Graph::EraseWeight(Value* weight) { EraseSource(weight, &weights_); }
void Graph::EraseState(Value* state) { EraseSource(state, &states_); }

void Graph::Move(Node* node, Node* before) {
  const auto find = [&](const Node* wanted) {
    return std::find_if(nodes_.begin(), nodes_.end(),
                        [&](const auto& n) { return n.get() == wanted; });
  };
  auto from = find(node);
  auto to = find(before);
  if (from < to) {
    std::rotate(from, from + 1, to);
  } else {
    std::rotate(to, from, from + 1);
  }
  order_valid_ = false;
}

bool Graph::IsBefore(const Node* a, const Node* b) const {
  if (!order_valid_) {
    int64_t order = 0;
    for (const auto& node : nodes_) node->order_ = order++;
    order_valid_ = true;
  }
  return a->order_ < b->order_;
}

std::string Graph::UniqueName(absl::string_view base) const {
  std::string name(base);
  for (int i = 2; by_ref_.contains(absl::StrCat("%", name)); ++i) name = absl::StrCat(base, ".", i);
  return name;
}

Graph Graph::Clone() const {
  Graph copy(name_, registry_);
  copy.attrs_ = attrs_;
  copy.symbols_ = symbols_;
  absl::flat_hash_map<const Value*, Value*> twin;
  const auto copy_value = [&](const Value& value) {
    auto result = std::unique_ptr<Value>(new Value(value.name_, value.kind_, value.type_));
    result->result_index_ = value.result_index_;
    result->mem_ = value.mem_;
    result->layout_ = value.layout_;
    twin[&value] = result.get();
    copy.by_ref_.emplace(result->ref(), result.get());
    return result;
  };
  for (const auto& value : inputs_) copy.inputs_.push_back(copy_value(*value));
  for (const auto& value : weights_) copy.weights_.push_back(copy_value(*value));
  for (const auto& value : states_) copy.states_.push_back(copy_value(*value));
  for (const auto& node : nodes_) {
    auto result = std::unique_ptr<Node>(new Node());
    result->op_ = node->op_;
    result->attrs_ = node->attrs_;
    result->device_ = node->device_;
    result->kernel_ = node->kernel_;
    result->origin_ = node->origin_;
    result->scratch_ = node->scratch_;
    result->once_ = node->once_;
    result->layer_ = node->layer_;
    for (const auto& value : node->results_) {
      result->results_.push_back(copy_value(*value));
      result->results_.back()->producer_ = result.get();
    }
    copy.nodes_.push_back(std::move(result));
  }
  for (size_t n = 0; n < nodes_.size(); ++n) {
    Node* node = copy.nodes_[n].get();
    for (size_t i = 0; i < nodes_[n]->operands_.size(); ++i) {
      const Value* original = nodes_[n]->operands_[i];
      node->operands_.push_back(nullptr);
      if (original != nullptr) copy.SetOperand(node, static_cast<int>(i), twin.at(original));
    }
  }
  for (const Value* value : outputs_) copy.outputs_.push_back(twin.at(value));
  return copy;
}

}  // namespace sluice
