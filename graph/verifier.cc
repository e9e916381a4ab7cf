// The rules, in the order in which they are checked: each may rely on those before it. Faults of V1
// to V5, V7 and V12 are all told, but keep later rules from being checked. V6, V8 and those from V9
// on are about single nodes: what one breaks hides at most what follows from it.
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

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "graph/nearest_name.h"
#include "graph/text.h"
#include "graph/verifier_rules.h"

namespace sluice {
namespace {

template <typename Visit>
void ForEachValue(const Graph& graph, const Visit& visit) {
  for (const auto list : {graph.inputs(), graph.weights(), graph.states()}) {
    for (const auto& value : list) visit(*value);
  }
  for (const auto& node : graph.nodes()) {
    for (const auto& result : node->results()) visit(*result);
  }
}

// --- V1 -------------------------------------------------------------------------------------

void CheckNames(const Graph& graph, Faults& faults) {
  ForEachValue(graph, [&](const Value& value) {
    if (!IsValidName(value.name())) {
      return faults.OfRef(value, "the name is '", value.name(),
                          "', expected letters, digits, . _ -");
    }
    const Value* found = graph.Find(value.ref());
    if (found == &value) return;
    faults.OfRef(value, found == nullptr ? "the graph does not find it by this name"
                                         : "another value has this name, too");
  });
}

// --- V2 -------------------------------------------------------------------------------------

void CheckSource(const Value& value, Value::Kind kind, absl::string_view list, Faults& faults) {
  if (value.kind() != kind) {
    return faults.OfRef(value, "is among the ", list, " but is of another kind");
  }
  if (value.producer() != nullptr) return faults.OfRef(value, "has a producer, expected none");
  if (value.type().is_state != (kind == Value::Kind::kState)) {
    faults.OfRef(value, "is among the ", list, " but has the type ", value.type().ToString());
  }
}

void CheckNodeLinks(const Graph& graph, const Node& node, Faults& faults) {
  const std::string& op = node.op().name;
  if (node.results().size() != node.op().results.size() || node.results().empty()) {
    return faults.OfGraph("a node of '", op, "' has ", node.results().size(), " results, expected ",
                          node.op().results.size());
  }
  if (graph.registry().Find(op) != &node.op()) {
    return faults.OfRef(*node.result(), "'", op, "' is no op of the graph's registry");
  }
  for (size_t i = 0; i < node.results().size(); ++i) {
    const Value& result = *node.result(i);
    if (result.kind() != Value::Kind::kResult || result.producer() != &node ||
        result.result_index() != static_cast<int>(i)) {
      return faults.OfRef(result, "does not know that it is result ", i, " of '", op, "'");
    }
  }
}

void CheckLinks(const Graph& graph, Faults& faults) {
  using Kind = Value::Kind;
  for (const auto& value : graph.inputs()) CheckSource(*value, Kind::kInput, "inputs", faults);
  for (const auto& value : graph.weights()) CheckSource(*value, Kind::kWeight, "weights", faults);
  for (const auto& value : graph.states()) CheckSource(*value, Kind::kState, "states", faults);
  for (const auto& node : graph.nodes()) CheckNodeLinks(graph, *node, faults);
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

// What is wrong with the declaration; "" if nothing is.
std::string SymbolFault(const SymbolDef& symbol, const SymbolValues& known) {
  if (!IsIdentifier(symbol.name))
    return absl::StrCat("'", symbol.name, "' is no name for a symbol");
  if (symbol.bound < 1) {
    return absl::StrCat("symbol '", symbol.name, "' has the bound ", symbol.bound,
                        ", expected at least 1");
  }
  if (known.Get(symbol.name) < 0) return "";
  return absl::StrCat("symbol '", symbol.name, "' is declared twice");
}

void CheckSymbols(const Graph& graph, Faults& faults) {
  SymbolValues known;
  for (const SymbolDef& symbol : graph.symbols()) {
    if (const std::string fault = SymbolFault(symbol, known); !fault.empty()) faults.OfGraph(fault);
    known.Set(symbol.name, symbol.bound);
  }
  if (const absl::string_view symbol = UnknownSymbol(graph.attrs(), {}); !symbol.empty()) {
    faults.OfGraph("an attribute uses the symbol '", symbol, "', expected constants");
  }
  for (const auto& node : graph.nodes()) {
    const absl::string_view symbol = UnknownSymbol(node->attrs(), known);
    if (symbol.empty()) continue;
    faults.OfRef(*node->result(), "an attribute uses the symbol '", symbol,
                 "', which the graph does not declare",
                 faults.is_full() ? "" : DidYouMean(symbol, NamesOf(graph.symbols())));
  }
}

// --- V4 -------------------------------------------------------------------------------------

// Compares pointers only: a dangling operand must not be looked at.
void CheckOrder(const Graph& graph, Faults& faults) {
  absl::flat_hash_set<const Value*> owned, defined;
  ForEachValue(graph, [&](const Value& value) {
    owned.insert(&value);
    if (value.producer() == nullptr) defined.insert(&value);
  });
  for (const auto& node : graph.nodes()) {
    for (size_t i = 0; i < node->operands().size(); ++i) {
      const Value* operand = node->operand(i);
      if (operand == nullptr || defined.contains(operand)) continue;
      if (!owned.contains(operand)) {
        faults.OfRef(*node->result(), "operand ", i, " of '", node->op().name,
                     "' is no value of this graph");
      } else {
        faults.OfRef(*node->result(), "operand ", i, " of '", node->op().name, "' is ",
                     operand->ref(), ", which is not defined before");
      }
      break;
    }
    for (const auto& result : node->results()) defined.insert(result.get());
  }
}

// --- V5 -------------------------------------------------------------------------------------

void CheckUses(const Graph& graph, Faults& faults) {
  absl::flat_hash_set<const Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.insert(node.get());
  absl::flat_hash_set<std::pair<const Node*, int>> seen;
  absl::flat_hash_set<const Value*> wrong;
  ForEachValue(graph, [&](const Value& value) {
    for (const Use& use : value.uses()) {
      if (!nodes.contains(use.node)) {
        faults.OfValue(value, "is used by a node that is gone");
      } else if (use.operand < 0 || use.node->operand(static_cast<size_t>(use.operand)) != &value) {
        faults.OfValue(value, "lists itself as operand ", use.operand, " of ", NodeLine{*use.node},
                       ", which it is not");
      } else if (!seen.emplace(use.node, use.operand).second) {
        faults.OfValue(value, "lists operand ", use.operand, " of ", NodeLine{*use.node}, " twice");
      } else {
        continue;
      }
      wrong.insert(&value);
    }
  });
  for (const auto& node : graph.nodes()) {
    for (size_t i = 0; i < node->operands().size(); ++i) {
      const Value* operand = node->operand(i);
      if (operand == nullptr || seen.contains({node.get(), static_cast<int>(i)})) continue;
      if (wrong.contains(operand)) continue;  // in place of this use it lists another
      faults.OfNode(*node, "operand ", i, " does not list this node among its uses");
    }
  }
}

// --- V6 -------------------------------------------------------------------------------------

void CheckNodeSchema(const Node& node, Faults& faults) {
  const auto types = node.OperandTypes();
  const absl::Status status = CheckSchema({node.op(), types, node.attrs()});
  if (!status.ok()) return faults.OfNode(node, status.message());
  if (!node.operands().empty() && node.operands().back() == nullptr) {
    return faults.OfNode(node, "the last operand is absent, expected a shorter list");
  }
  for (const auto& [name, value] : node.attrs()) {
    if (value != node.op().FindAttr(name)->default_value) continue;
    return faults.OfNode(node, "attribute '", name, "' is stored but has its default value");
  }
}

void CheckSchemas(const Graph& graph, Faults& faults) {
  for (const auto& node : graph.nodes()) CheckNodeSchema(*node, faults);
}

// --- V7, V8 ---------------------------------------------------------------------------------

void CheckTypes(const Graph& graph, Faults& faults) {
  const SymbolValues bounds = graph.Bounds();
  ForEachValue(graph, [&](const Value& value) {
    const absl::Status status = CheckType(value.type(), bounds);
    if (status.ok()) return;
    const Node* node = value.producer();
    if (node != nullptr && faults.HasOperandOf(*node)) return faults.Silence(*node);
    faults.OfValue(value, status.message());
  });
}

void CheckNodeInference(const Node& node, Faults& faults) {
  const auto operands = node.OperandTypes();
  const auto types = node.op().infer({node.op(), operands, node.attrs()});
  if (!types.ok()) return faults.OfNode(node, types.status().message());
  for (size_t i = 0; i < node.results().size(); ++i) {
    const Value& result = *node.result(i);
    if (i < types->size() && result.type() == (*types)[i]) continue;
    return faults.OfNode(node, result.ref(), " has the type ", result.type().ToString(), ", but '",
                         node.op().name, "' gives ",
                         i < types->size() ? (*types)[i].ToString() : "no such result");
  }
}

// The types of a node that reads a faulty one are taken for right.
void CheckInference(const Graph& graph, Faults& faults) {
  for (const auto& node : graph.nodes()) {
    if (!faults.Has(*node) && !faults.HasOperandOf(*node)) CheckNodeInference(*node, faults);
  }
}

// --- V10 ------------------------------------------------------------------------------------

void CheckOutputs(const Graph& graph, Faults& faults) {
  absl::flat_hash_set<const Value*> results, seen;
  for (const auto& node : graph.nodes()) {
    for (const auto& result : node->results()) results.insert(result.get());
  }
  for (const Value* output : graph.outputs()) {
    if (!results.contains(output)) {
      faults.OfGraph("an output is no result of a node");
    } else if (output->type().is_state) {
      faults.OfNode(*output->producer(), output->ref(),
                    " is an output, expected a tensor and no state");
    } else if (!seen.insert(output).second) {
      faults.OfNode(*output->producer(), output->ref(), " is an output twice");
    }
  }
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

void CheckTexts(const Graph& graph, Faults& faults) {
  if (!IsUtf8(graph.name())) faults.OfGraph("its name is no UTF-8");
  if (graph.symbols().size() > kMaxSymbols || graph.outputs().size() > kMaxOutputs) {
    faults.OfGraph(graph.symbols().size(), " symbols and ", graph.outputs().size(),
                   " outputs, expected at most ", kMaxSymbols, " and ", kMaxOutputs);
  }
  if (const std::string fault = AttributeFault(graph.attrs()); !fault.empty()) {
    faults.OfGraph(fault);
  }
  for (const auto& node : graph.nodes()) {
    const std::string fault = AttributeFault(node->attrs());
    if (!fault.empty()) faults.OfRef(*node->result(), fault);
    const std::string scratch_region = node->scratch() ? node->scratch()->region : "";
    if (!IsUtf8(node->device()) || !IsUtf8(node->kernel()) || !IsUtf8(node->origin()) ||
        !IsUtf8(scratch_region)) {
      faults.OfRef(*node->result(), "the name of its device, kernel, pass or scratch is no UTF-8");
    }
  }
  ForEachValue(graph, [&](const Value& value) {
    const std::string region = value.mem().has_value() ? value.mem()->region : "";
    if (IsUtf8(region) && IsUtf8(value.layout())) return;
    faults.OfRef(value, "its memory region or layout is no UTF-8");
  });
}

// --- V13 ------------------------------------------------------------------------------------

void CheckConstant(const Node& node, Faults& faults) {
  if (node.op().UpdatesState()) return faults.OfNode(node, "runs once but updates a state");
  for (const Value* operand : node.operands()) {
    if (operand == nullptr || operand->kind() == Value::Kind::kWeight) continue;
    if (operand->producer() != nullptr && operand->producer()->once()) continue;
    return faults.OfNode(node, "runs once but reads ", operand->ref(),
                         ", expected a weight or the result of a node that runs once");
  }
}

void CheckConstants(const Graph& graph, Faults& faults) {
  for (const auto& node : graph.nodes()) {
    if (node->once()) CheckConstant(*node, faults);
  }
  ForEachValue(graph, [&](const Value& value) {
    if (value.layout().empty() || value.kind() == Value::Kind::kWeight) return;
    faults.OfValue(value, "has a layout, expected one of weights only");
  });
}

// --- V14 ------------------------------------------------------------------------------------

// Knows the first node that uses a state, or what it has become; all others must be on its device.
class StateDevices {
 public:
  void Visit(const Node& node, Faults& faults) {
    for (size_t i = 0; i < node.operands().size(); ++i) {
      const Value* operand = node.operand(i);
      if (operand == nullptr || !operand->type().is_state) continue;
      const Node* first = user_.try_emplace(operand, &node).first->second;
      if (first->device() != node.device()) {
        faults.OfNode(node, "uses the state ", operand->ref(), ", which is on ", first->device());
      }
      for (const auto& result : node.results()) {
        if (node.op().results[static_cast<size_t>(result->result_index())].aliases ==
            static_cast<int>(i)) {
          user_[result.get()] = first;
        }
      }
    }
  }

 private:
  absl::flat_hash_map<const Value*, const Node*> user_;
};

void CheckOperandDevices(const Node& node, Faults& faults) {
  // What runs once does so when its device's graph is loaded, before there is anything to move.
  if (node.op().is_transfer && !node.once()) return;
  for (const Value* operand : node.operands()) {
    const Node* producer = operand != nullptr ? operand->producer() : nullptr;
    if (producer == nullptr || producer->device() == node.device()) continue;
    return faults.OfNode(node, "reads ", operand->ref(), ", which is on ", producer->device());
  }
}

void CheckDevices(const Graph& graph, Faults& faults) {
  for (const auto& node : graph.nodes()) {  // one is enough: which of them are wrong is not known
    if (node->device().empty() == graph.nodes()[0]->device().empty()) continue;
    return faults.OfNode(*node, node->device().empty() ? "names no device, but others do"
                                                       : "names a device, but others do not");
  }
  StateDevices states;
  for (const auto& node : graph.nodes()) {
    CheckOperandDevices(*node, faults);
    states.Visit(*node, faults);
  }
}

struct Rule {
  absl::string_view title;
  void (*check)(const Graph& graph, Faults& faults);
  bool later_rules_need_it = false;
};

constexpr Rule kRules[] = {
    {"V1 (names are unique and known to the graph)", CheckNames, true},
    {"V2 (sources and results are where they belong)", CheckLinks, true},
    {"V3 (symbols are declared)", CheckSymbols, true},
    {"V4 (operands come before their users)", CheckOrder, true},
    {"V5 (use lists mirror operands)", CheckUses, true},
    {"V6 (operands and attributes fit the op)", CheckSchemas},
    {"V7 (types are sound)", CheckTypes, true},
    {"V8 (result types are the inferred ones)", CheckInference},
    {"V9 (nothing is read after its update in place)", CheckInPlace},
    {"V10 (outputs are distinct tensor results)", CheckOutputs},
    {"V11 (places in memory are sound)", CheckMemory},
    {"V12 (the graph can be written and read back)", CheckTexts, true},
    {"V13 (what runs once depends on weights alone)", CheckConstants},
    {"V14 (values are on the device that reads them)", CheckDevices},
};

// As the graph has them, what is of no value first.
void SortByPlace(const Graph& graph, std::vector<Violation>* violations) {
  absl::flat_hash_map<const Value*, size_t> places;
  ForEachValue(graph, [&](const Value& value) { places.emplace(&value, places.size() + 1); });
  places[nullptr] = 0;
  std::stable_sort(
      violations->begin(), violations->end(),
      [&](const Violation& a, const Violation& b) { return places[a.value] < places[b.value]; });
}

}  // namespace

bool Faults::HasOperandOf(const Node& node) const {
  if (faulty_.empty()) return false;
  return std::any_of(node.operands().begin(), node.operands().end(),
                     [&](const Value* operand) { return operand != nullptr && Has(*operand); });
}

Violations FindViolations(const Graph& graph) {
  Faults faults;
  for (const Rule& rule : kRules) {
    faults.BeginRule(rule.title);
    rule.check(graph, faults);
    if (rule.later_rules_need_it && faults.is_broken()) break;
  }
  Violations violations = std::move(faults).Take();
  if (violations.shown.size() > 1) SortByPlace(graph, &violations.shown);
  return violations;
}

absl::Status Verify(const Graph& graph) {
  const Violations violations = FindViolations(graph);
  ErrorList errors;
  for (const Violation& violation : violations.shown) errors.Add(violation.message);
  errors.Count(violations.more);
  return errors.ToStatus();
}

}  // namespace sluice
