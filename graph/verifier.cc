// The rules, in the order in which they are checked: each may rely on those before it.
//
//   V1   Names are well-formed and unique, and the graph finds every value by its reference.
//   V2   Sources stand in the list of their kind and only states have state types; results know
//        their node and their place; a node has an op of the graph's registry and all its results.
//   V3   Symbols have identifiers as names, declared once, and bounds of at least 1. Shapes in
//        attributes use declared symbols only, in attributes of the graph itself none.
//   V4   Operands are values of this graph and come before their users.
//   V5   Use lists mirror operands: one use for each operand slot, and no other.
//   V6   Operands and attributes are as the op's record says. Each is spelled one way: attributes
//        that equal their default and absent operands at the end are not stored.
//   V7   Types are sound (CheckType): symbols declared, dimensions positive, blocks whole, sizes
//        at the symbols' bounds within 64 bits.
//   V8   Result types are those that the op infers.
//   V9   What is updated in place is a state or a result, is updated once, and is not read
//        afterwards. A result of state type is an updated state.
//   V10  Outputs are distinct tensor results of this graph.
//   V11  Places in memory: offsets are multiples of 64 and not negative, sizes are enough at the
//        bounds, a value that shares the storage of another is in its place, and no two others that
//        live at the same time overlap. Regions are those of the node's device.
//        A result may take the place of an operand that its op names (ResultDef::in_place) and that
//        has no other use from then on. Scratch memory lives while its node runs.
//        Each place by itself comes before any two. Of two that overlap, the fault is that of the
//        one that overlaps more others, too, since moving it alone would mend them all; of equals
//        that of the newer one, which is what writes over the other.
//   V12  The graph can be written and read back: texts are UTF-8, attributes have identifiers as
//        names, and lists keep to their limits.
//   V13  Nodes that run once depend on weights and on each other only, and update nothing in place.
//        Only weights have a layout.
//   V14  Either every node names a device or none does. Results are read on the device that they
//        are on, except by ops that move them (OpDef::is_transfer) and do not run once. All that
//        reads or updates a state is on one device.
#include "graph/verifier.h"

#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "graph/text.h"
#include "graph/verifier_rules.h"

namespace sluice {
namespace {

// Calls `check` with every value until one is found to be broken.
template <typename Check>
Found ForEachValue(const Graph& graph, const Check& check) {
  for (const auto list : {graph.inputs(), graph.weights(), graph.states()}) {
    for (const auto& value : list) {
      if (Found found = check(*value)) return found;
    }
  }
  for (const auto& node : graph.nodes()) {
    for (const auto& result : node->results()) {
      if (Found found = check(*result)) return found;
    }
  }
  return std::nullopt;
}

// --- V1 -------------------------------------------------------------------------------------

Found CheckNames(const Graph& graph) {
  return ForEachValue(graph, [&](const Value& value) -> Found {
    if (!IsValidName(value.name())) {
      return BrokenRef(value, "the name is '", value.name(), "', expected letters, digits, . _ -");
    }
    const Value* found = graph.Find(value.ref());
    if (found == &value) return std::nullopt;
    return BrokenRef(value, found == nullptr ? "the graph does not find it by this name"
                                             : "another value has this name, too");
  });
}

// --- V2 -------------------------------------------------------------------------------------

Found CheckSources(absl::Span<const std::unique_ptr<Value>> values, Value::Kind kind,
                   absl::string_view list) {
  for (const auto& value : values) {
    if (value->kind() != kind) {
      return BrokenRef(*value, "is among the ", list, " but is of another kind");
    }
    if (value->producer() != nullptr) return BrokenRef(*value, "has a producer, expected none");
    if (value->type().is_state != (kind == Value::Kind::kState)) {
      return BrokenRef(*value, "is among the ", list, " but has the type ",
                       value->type().ToString());
    }
  }
  return std::nullopt;
}

Found CheckNodeLinks(const Graph& graph, const Node& node) {
  const std::string& op = node.op().name;
  if (node.results().size() != node.op().results.size() || node.results().empty()) {
    return BrokenGraph("a node of '", op, "' has ", node.results().size(), " results, expected ",
                       node.op().results.size());
  }
  if (graph.registry().Find(op) != &node.op()) {
    return BrokenRef(*node.result(), "'", op, "' is no op of the graph's registry");
  }
  for (size_t i = 0; i < node.results().size(); ++i) {
    const Value& result = *node.result(i);
    if (result.kind() != Value::Kind::kResult || result.producer() != &node ||
        result.result_index() != static_cast<int>(i)) {
      return BrokenRef(result, "does not know that it is result ", i, " of '", op, "'");
    }
  }
  return std::nullopt;
}

Found CheckLinks(const Graph& graph) {
  if (Found found = CheckSources(graph.inputs(), Value::Kind::kInput, "inputs")) return found;
  if (Found found = CheckSources(graph.weights(), Value::Kind::kWeight, "weights")) return found;
  if (Found found = CheckSources(graph.states(), Value::Kind::kState, "states")) return found;
  for (const auto& node : graph.nodes()) {
    if (Found found = CheckNodeLinks(graph, *node)) return found;
  }
  return std::nullopt;
}

// --- V3 -------------------------------------------------------------------------------------

// The first symbol of a shape among `attrs` that `symbols` lacks; "" if there is none.
absl::string_view UnknownSymbol(const Attributes& attrs, const SymbolValues& symbols) {
  for (const auto& [name, value] : attrs) {
    const auto* shape = std::get_if<Shape>(&value);
    if (shape == nullptr) continue;
    for (const Dim& dim : *shape) {
      if (!dim.is_constant() && symbols.Get(dim.symbol()) < 0) return dim.symbol();
    }
  }
  return "";
}

Found CheckSymbols(const Graph& graph) {
  SymbolValues known;
  for (const SymbolDef& symbol : graph.symbols()) {
    if (!IsIdentifier(symbol.name)) {
      return BrokenGraph("'", symbol.name, "' is no name for a symbol");
    }
    if (symbol.bound < 1) {
      return BrokenGraph("symbol '", symbol.name, "' has the bound ", symbol.bound,
                         ", expected at least 1");
    }
    if (known.Get(symbol.name) >= 0) {
      return BrokenGraph("symbol '", symbol.name, "' is declared twice");
    }
    known.Set(symbol.name, symbol.bound);
  }
  if (const absl::string_view symbol = UnknownSymbol(graph.attrs(), {}); !symbol.empty()) {
    return BrokenGraph("an attribute uses the symbol '", symbol, "', expected constants");
  }
  for (const auto& node : graph.nodes()) {
    const absl::string_view symbol = UnknownSymbol(node->attrs(), known);
    if (symbol.empty()) continue;
    return BrokenRef(*node->result(), "an attribute uses the symbol '", symbol,
                     "', which the graph does not declare");
  }
  return std::nullopt;
}

// --- V4 -------------------------------------------------------------------------------------

// Compares pointers only: a dangling operand must not be looked at.
Found CheckOrder(const Graph& graph) {
  absl::flat_hash_set<const Value*> owned, defined;
  ForEachValue(graph, [&](const Value& value) -> Found {
    owned.insert(&value);
    if (value.producer() == nullptr) defined.insert(&value);
    return std::nullopt;
  });
  for (const auto& node : graph.nodes()) {
    for (size_t i = 0; i < node->operands().size(); ++i) {
      const Value* operand = node->operand(i);
      if (operand == nullptr || defined.contains(operand)) continue;
      if (!owned.contains(operand)) {
        return BrokenRef(*node->result(), "operand ", i, " of '", node->op().name,
                         "' is no value of this graph");
      }
      return BrokenRef(*node->result(), "operand ", i, " of '", node->op().name, "' is ",
                       operand->ref(), ", which is not defined before");
    }
    for (const auto& result : node->results()) defined.insert(result.get());
  }
  return std::nullopt;
}

// --- V5 -------------------------------------------------------------------------------------

Found CheckUses(const Graph& graph) {
  absl::flat_hash_set<const Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.insert(node.get());
  absl::flat_hash_set<std::pair<const Node*, int>> seen;
  Found found = ForEachValue(graph, [&](const Value& value) -> Found {
    for (const Use& use : value.uses()) {
      if (!nodes.contains(use.node)) return BrokenValue(value, "is used by a node that is gone");
      if (use.operand < 0 || use.node->operand(static_cast<size_t>(use.operand)) != &value) {
        return BrokenValue(value, "lists itself as operand ", use.operand, " of ", Print(*use.node),
                           ", which it is not");
      }
      if (!seen.emplace(use.node, use.operand).second) {
        return BrokenValue(value, "lists operand ", use.operand, " of ", Print(*use.node),
                           " twice");
      }
    }
    return std::nullopt;
  });
  if (found) return found;
  for (const auto& node : graph.nodes()) {
    for (size_t i = 0; i < node->operands().size(); ++i) {
      if (node->operand(i) == nullptr || seen.contains({node.get(), static_cast<int>(i)})) continue;
      return BrokenNode(*node, "operand ", i, " does not list this node among its uses");
    }
  }
  return std::nullopt;
}

// --- V6 -------------------------------------------------------------------------------------

Found CheckSchemas(const Graph& graph) {
  for (const auto& node : graph.nodes()) {
    const auto types = node->OperandTypes();
    const absl::Status status = CheckSchema({node->op(), types, node->attrs()});
    if (!status.ok()) return BrokenNode(*node, status.message());
    if (!node->operands().empty() && node->operands().back() == nullptr) {
      return BrokenNode(*node, "the last operand is absent, expected a shorter list");
    }
    for (const auto& [name, value] : node->attrs()) {
      if (value == node->op().FindAttr(name)->default_value) {
        return BrokenNode(*node, "attribute '", name, "' is stored but has its default value");
      }
    }
  }
  return std::nullopt;
}

// --- V7, V8 ---------------------------------------------------------------------------------

Found CheckTypes(const Graph& graph) {
  const SymbolValues bounds = graph.Bounds();
  return ForEachValue(graph, [&](const Value& value) -> Found {
    const absl::Status status = CheckType(value.type(), bounds);
    return status.ok() ? std::nullopt : BrokenValue(value, status.message());
  });
}

Found CheckInference(const Graph& graph) {
  for (const auto& node : graph.nodes()) {
    const auto operands = node->OperandTypes();
    const auto types = node->op().infer({node->op(), operands, node->attrs()});
    if (!types.ok()) return BrokenNode(*node, types.status().message());
    for (size_t i = 0; i < node->results().size(); ++i) {
      const Value& result = *node->result(i);
      if (i < types->size() && result.type() == (*types)[i]) continue;
      return BrokenNode(*node, result.ref(), " has the type ", result.type().ToString(), ", but '",
                        node->op().name, "' gives ",
                        i < types->size() ? (*types)[i].ToString() : "no such result");
    }
  }
  return std::nullopt;
}

// --- V10 ------------------------------------------------------------------------------------

Found CheckOutputs(const Graph& graph) {
  absl::flat_hash_set<const Value*> results, seen;
  for (const auto& node : graph.nodes()) {
    for (const auto& result : node->results()) results.insert(result.get());
  }
  for (const Value* output : graph.outputs()) {
    if (!results.contains(output)) return BrokenGraph("an output is no result of a node");
    if (output->type().is_state) {
      return BrokenNode(*output->producer(), output->ref(),
                        " is an output, expected a tensor and no state");
    }
    if (!seen.insert(output).second) {
      return BrokenNode(*output->producer(), output->ref(), " is an output twice");
    }
  }
  return std::nullopt;
}

// --- V12 ------------------------------------------------------------------------------------
// Nodes are not printed, because a message has to be UTF-8.

// Well-formed byte sequences: The Unicode Standard 15, table 3-7.
bool IsUtf8(absl::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : 0; };
  const auto in = [](int value, int low, int high) { return low <= value && value <= high; };
  while (!text.empty()) {
    const int lead = byte(0);
    const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    const int low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const int high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (!(lead < 0x80 || in(lead, 0xC2, 0xF4))) return false;
    if (length > 1 && !in(byte(1), low, high)) return false;
    for (size_t i = 2; i < length; ++i) {
      if (!in(byte(i), 0x80, 0xBF)) return false;
    }
    text.remove_prefix(length);
  }
  return true;
}

// What is wrong with `attrs`; "" if nothing is.
std::string AttributeFault(const Attributes& attrs) {
  if (attrs.size() > kMaxAttributes) {
    return absl::StrCat(attrs.size(), " attributes, expected at most ", kMaxAttributes);
  }
  for (const auto& [name, value] : attrs) {
    if (!IsIdentifier(name)) return absl::StrCat("an attribute is called '", name, "'");
    const auto* text = std::get_if<std::string>(&value);
    if (text != nullptr && !IsUtf8(*text)) {
      return absl::StrCat("attribute '", name, "' is no UTF-8");
    }
    const auto* shape = std::get_if<Shape>(&value);
    if (shape != nullptr && shape->size() > kMaxRank) {
      return absl::StrCat("attribute '", name, "' has ", shape->size(),
                          " dimensions, expected at most ", kMaxRank);
    }
  }
  return "";
}

Found CheckTexts(const Graph& graph) {
  if (!IsUtf8(graph.name())) return BrokenGraph("its name is no UTF-8");
  if (graph.symbols().size() > kMaxSymbols || graph.outputs().size() > kMaxOutputs) {
    return BrokenGraph(graph.symbols().size(), " symbols and ", graph.outputs().size(),
                       " outputs, expected at most ", kMaxSymbols, " and ", kMaxOutputs);
  }
  if (const std::string fault = AttributeFault(graph.attrs()); !fault.empty()) {
    return BrokenGraph(fault);
  }
  for (const auto& node : graph.nodes()) {
    const std::string fault = AttributeFault(node->attrs());
    if (!fault.empty()) return BrokenRef(*node->result(), fault);
    const std::string scratch_region = node->scratch() ? node->scratch()->region : "";
    if (!IsUtf8(node->device()) || !IsUtf8(node->kernel()) || !IsUtf8(node->origin()) ||
        !IsUtf8(scratch_region)) {
      return BrokenRef(*node->result(),
                       "the name of its device, kernel, pass or scratch is no UTF-8");
    }
  }
  return ForEachValue(graph, [](const Value& value) -> Found {
    const std::string region = value.mem().has_value() ? value.mem()->region : "";
    const bool is_fine = IsUtf8(region) && IsUtf8(value.layout());
    return is_fine ? std::nullopt : BrokenRef(value, "its memory region or layout is no UTF-8");
  });
}

// --- V13 ------------------------------------------------------------------------------------

Found CheckConstants(const Graph& graph) {
  for (const auto& node : graph.nodes()) {
    if (!node->once()) continue;
    if (node->op().UpdatesState()) return BrokenNode(*node, "runs once but updates a state");
    for (const Value* operand : node->operands()) {
      if (operand == nullptr || operand->kind() == Value::Kind::kWeight) continue;
      if (operand->producer() != nullptr && operand->producer()->once()) continue;
      return BrokenNode(*node, "runs once but reads ", operand->ref(),
                        ", expected a weight or the result of a node that runs once");
    }
  }
  return ForEachValue(graph, [](const Value& value) -> Found {
    if (value.layout().empty() || value.kind() == Value::Kind::kWeight) return std::nullopt;
    return BrokenValue(value, "has a layout, expected one of weights only");
  });
}

// --- V14 ------------------------------------------------------------------------------------

// Knows the first node that uses a state, or what it has become; all others must be on its device.
class StateDevices {
 public:
  Found Visit(const Node& node) {
    for (size_t i = 0; i < node.operands().size(); ++i) {
      const Value* operand = node.operand(i);
      if (operand == nullptr || !operand->type().is_state) continue;
      const Node* first = user_.try_emplace(operand, &node).first->second;
      if (first->device() != node.device()) {
        return BrokenNode(node, "uses the state ", operand->ref(), ", which is on ",
                          first->device());
      }
      for (const auto& result : node.results()) {
        if (node.op().results[static_cast<size_t>(result->result_index())].aliases ==
            static_cast<int>(i)) {
          user_[result.get()] = first;
        }
      }
    }
    return std::nullopt;
  }

 private:
  absl::flat_hash_map<const Value*, const Node*> user_;
};

Found CheckDevices(const Graph& graph) {
  StateDevices states;
  for (const auto& node : graph.nodes()) {
    if (node->device().empty() != graph.nodes()[0]->device().empty()) {
      return BrokenNode(*node, node->device().empty() ? "names no device, but others do"
                                                      : "names a device, but others do not");
    }
    for (const Value* operand : node->operands()) {
      const Node* producer = operand != nullptr ? operand->producer() : nullptr;
      if (producer == nullptr || producer->device() == node->device()) continue;
      // What runs once does so when its device's graph is loaded, before there is anything to move.
      if (node->op().is_transfer && !node->once()) continue;
      return BrokenNode(*node, "reads ", operand->ref(), ", which is on ", producer->device());
    }
    if (Found found = states.Visit(*node)) return found;
  }
  return std::nullopt;
}

struct Rule {
  absl::string_view title;
  Found (*check)(const Graph& graph);
};

constexpr Rule kRules[] = {
    {"V1 (names are unique and known to the graph)", CheckNames},
    {"V2 (sources and results are where they belong)", CheckLinks},
    {"V3 (symbols are declared)", CheckSymbols},
    {"V4 (operands come before their users)", CheckOrder},
    {"V5 (use lists mirror operands)", CheckUses},
    {"V6 (operands and attributes fit the op)", CheckSchemas},
    {"V7 (types are sound)", CheckTypes},
    {"V8 (result types are the inferred ones)", CheckInference},
    {"V9 (nothing is read after its update in place)", CheckInPlace},
    {"V10 (outputs are distinct tensor results)", CheckOutputs},
    {"V11 (places in memory are sound)", CheckMemory},
    {"V12 (the graph can be written and read back)", CheckTexts},
    {"V13 (what runs once depends on weights alone)", CheckConstants},
    {"V14 (values are on the device that reads them)", CheckDevices},
};

}  // namespace

std::optional<Violation> FindViolation(const Graph& graph) {
  for (const Rule& rule : kRules) {
    if (Found found = rule.check(graph)) {
      found->message = absl::StrCat("rule ", rule.title, ": ", found->message);
      return found;
    }
  }
  return std::nullopt;
}

absl::Status Verify(const Graph& graph) {
  const std::optional<Violation> violation = FindViolation(graph);
  return violation ? absl::InvalidArgumentError(violation->message) : absl::OkStatus();
}

}  // namespace sluice
