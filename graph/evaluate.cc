#include "graph/evaluate.h"

#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "graph/pattern.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

// The value of attribute `name` of a fused op's application, its default included.
absl::StatusOr<AttrValue> CapturedAttr(const OpCall& call, absl::string_view name) {
  if (const AttrValue* value = call.attrs.Find(name)) return *value;
  const AttrDef* def = call.op.FindAttr(name);
  if (def == nullptr || !def->default_value.has_value()) {
    return absl::InternalError(
        absl::StrCat("the expansion of '", call.op.name, "' uses $", name, ", which has no value"));
  }
  return *def->default_value;
}

absl::Status AddExpandedNode(const OpCall& call, const PatternNode& line, Graph* graph) {
  NodeSpec spec;
  std::string op = line.op;
  if (line.op_is_capture()) {
    SLUICE_ASSIGN_OR_RETURN(AttrValue captured, CapturedAttr(call, line.op.substr(1)));
    op = std::get<std::string>(captured);
  }
  spec.op = op;
  for (const std::string& operand : line.operands) {
    spec.operands.push_back(graph->Find(absl::StrCat("%", operand)));  // nullptr: left out
  }
  for (const auto& [name, value] : line.attrs) {
    if (value[0] != '$') {
      return absl::InternalError(absl::StrCat("expansion of '", call.op.name, "': attribute ", name,
                                              " must be a capture"));
    }
    SLUICE_ASSIGN_OR_RETURN(AttrValue captured, CapturedAttr(call, value.substr(1)));
    spec.attrs.Set(name, std::move(captured));
  }
  spec.names = line.results;
  return graph->Add(std::move(spec)).status();
}

// Storage for one evaluation; views into it stay valid while it lives.
class Arena {
 public:
  void Allocate(TensorView* view) {
    // float alignment is enough: reference kernels are plain code.
    blocks_.emplace_back(static_cast<size_t>((view->bytes() + 7) / 8));
    view->data = reinterpret_cast<std::byte*>(blocks_.back().data());
  }

 private:
  std::vector<std::vector<uint64_t>> blocks_;
};

absl::Status EvaluateExpansion(const EvalContext& context, const OpRegistry& registry) {
  std::vector<TensorType> types(context.operands.size());
  std::vector<const TensorType*> pointers(context.operands.size(), nullptr);
  for (size_t i = 0; i < types.size(); ++i) {
    if (!context.operands[i].present()) continue;
    types[i] = TypeOf(context.operands[i]);
    pointers[i] = &types[i];
  }
  const OpDef& op = context.call.op;
  SLUICE_ASSIGN_OR_RETURN(Graph graph, Expand({op, pointers, context.call.attrs}, registry));

  absl::flat_hash_map<const Value*, TensorView> views;
  for (size_t i = 0; i < context.operands.size(); ++i) {
    if (pointers[i] == nullptr) continue;
    views[graph.Find(absl::StrCat("%", op.operands[i].name))] = context.operands[i];
  }
  for (size_t i = 0; i < context.results.size(); ++i) {
    views[graph.outputs()[i]] = context.results[i];
  }
  Arena arena;
  for (const auto& node : graph.nodes()) {
    std::vector<TensorView> operands, results;
    for (const Value* value : node->operands()) {
      operands.push_back(value != nullptr ? views.at(value) : TensorView{});
    }
    for (const auto& result : node->results()) {
      auto [it, is_new] = views.try_emplace(result.get());
      if (is_new) {
        SLUICE_ASSIGN_OR_RETURN(it->second, ViewOf(result->type(), {}));
        arena.Allocate(&it->second);
      }
      results.push_back(it->second);
    }
    const auto operand_types = node->OperandTypes();
    const OpCall call{node->op(), operand_types, node->attrs()};
    SLUICE_RETURN_IF_ERROR(Evaluate({call, operands, results}, registry));
  }
  return absl::OkStatus();
}

}  // namespace

TensorType TypeOf(const TensorView& view) {
  return {view.dtype, Shape(view.dims.begin(), view.dims.end())};
}

absl::StatusOr<TensorView> ViewOf(const TensorType& type, const SymbolValues& symbols) {
  TensorView view;
  view.dtype = type.dtype;
  SLUICE_ASSIGN_OR_RETURN(view.dims, symbols.Evaluate(type.shape));
  return view;
}

absl::StatusOr<Graph> Expand(const OpCall& call, const OpRegistry& registry) {
  SLUICE_ASSIGN_OR_RETURN(const Pattern pattern, ParsePattern(call.op.expands_to));
  Graph graph(call.op.name, &registry);
  for (size_t i = 0; i < call.operands.size(); ++i) {
    if (!call.Has(i)) continue;
    for (const Dim& dim : call.operands[i]->shape) {
      if (!dim.is_constant() && graph.Bounds().Get(dim.symbol()) < 0) {
        SLUICE_RETURN_IF_ERROR(graph.AddSymbol(dim.symbol(), 1));
      }
    }
    const std::string& name = call.op.operands[i].name;
    const TensorType& type = *call.operands[i];
    SLUICE_RETURN_IF_ERROR(
        (type.is_state ? graph.AddState(name, type) : graph.AddInput(name, type)).status());
  }
  for (const PatternNode& line : pattern.nodes) {
    SLUICE_RETURN_IF_ERROR(AddExpandedNode(call, line, &graph));
  }
  for (const ResultDef& result : call.op.results) {
    SLUICE_RETURN_IF_ERROR(graph.AddOutput(graph.Find(absl::StrCat("%", result.name))));
  }
  return graph;
}

absl::Status Evaluate(const EvalContext& context, const OpRegistry& registry) {
  if (context.call.op.eval != nullptr) return context.call.op.eval(context);
  return EvaluateExpansion(context, registry);
}

}  // namespace sluice
