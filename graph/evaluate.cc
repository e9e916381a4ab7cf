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

// Builds the graph of an expansion line by line.
class Expansion {
 public:
  Expansion(const OpCall& call, const OpRegistry& registry)
      : call_(call), graph_(call.op.name, &registry) {}

  absl::StatusOr<Graph> Build() && {
    SLUICE_ASSIGN_OR_RETURN(const Pattern pattern, ParsePattern(call_.op.expands_to));
    for (size_t i = 0; i < call_.operands.size(); ++i) {
      if (call_.Has(i)) SLUICE_RETURN_IF_ERROR(AddOperand(i));
    }
    for (const auto& [name, value] : call_.attrs) {
      if (const auto* shape = std::get_if<Shape>(&value)) {
        SLUICE_RETURN_IF_ERROR(DeclareSymbols(*shape));
      }
    }
    for (const PatternNode& line : pattern.nodes) SLUICE_RETURN_IF_ERROR(AddLine(line));
    for (const ResultDef& result : call_.op.results) {
      Value* value = Find(result.name);
      if (result.aliases < 0) SLUICE_RETURN_IF_ERROR(graph_.AddOutput(value));
    }
    return std::move(graph_);
  }

 private:
  Value* Find(const std::string& name) const {
    auto it = values_.find(name);
    return it != values_.end() ? it->second : nullptr;
  }

  absl::Status DeclareSymbols(const Shape& shape) {
    for (const Dim& dim : shape) {
      if (!dim.is_constant() && graph_.Bounds().Get(dim.symbol()) < 0) {
        SLUICE_RETURN_IF_ERROR(graph_.AddSymbol(dim.symbol(), 1));
      }
    }
    return absl::OkStatus();
  }

  absl::Status AddOperand(size_t index) {
    const TensorType& type = *call_.operands[index];
    SLUICE_RETURN_IF_ERROR(DeclareSymbols(type.shape));
    const std::string& name = call_.op.operands[index].name;
    SLUICE_ASSIGN_OR_RETURN(
        values_[name], type.is_state ? graph_.AddState(name, type) : graph_.AddInput(name, type));
    return absl::OkStatus();
  }

  absl::Status AddLine(const PatternNode& line) {
    if (!line.condition.empty() && Find(line.condition) == nullptr) {
      values_[line.results[0]] = Find(line.operands.front().name);
      return absl::OkStatus();
    }
    NodeSpec spec;
    std::string op = line.op;
    if (line.op_is_capture()) {
      SLUICE_ASSIGN_OR_RETURN(AttrValue captured, CapturedAttr(call_, line.op.substr(1)));
      op = std::get<std::string>(captured);
    }
    spec.op = op;
    for (const PatternOperand& operand : line.operands) {
      spec.operands.push_back(Find(operand.name));  // nullptr: left out
    }
    while (!spec.operands.empty() && spec.operands.back() == nullptr) spec.operands.pop_back();
    for (const auto& [name, capture] : line.attrs) {
      SLUICE_ASSIGN_OR_RETURN(AttrValue captured, CapturedAttr(call_, capture));
      spec.attrs.Set(name, std::move(captured));
    }
    spec.names = line.results;
    SLUICE_ASSIGN_OR_RETURN(const Node* node, graph_.Add(std::move(spec)));
    for (size_t i = 0; i < line.results.size(); ++i) values_[line.results[i]] = node->result(i);
    return absl::OkStatus();
  }

  const OpCall& call_;
  Graph graph_;
  absl::flat_hash_map<std::string, Value*> values_;  // by name in the pattern
};

// What the symbols of the operands' types stand for, by the dims of their views.
SymbolValues SymbolsOf(const EvalContext& context) {
  SymbolValues symbols;
  for (size_t i = 0; i < context.operands.size(); ++i) {
    if (!context.operands[i].present()) continue;
    const Shape& shape = context.call.operands[i]->shape;
    for (size_t d = 0; d < shape.size(); ++d) {
      if (!shape[d].is_constant()) {
        symbols.Set(shape[d].symbol(), context.operands[i].dims[d] / shape[d].factor());
      }
    }
  }
  return symbols;
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
  const OpDef& op = context.call.op;
  SLUICE_ASSIGN_OR_RETURN(Graph graph, Expand(context.call, registry));
  const SymbolValues symbols = SymbolsOf(context);

  absl::flat_hash_map<const Value*, TensorView> views;
  for (size_t i = 0; i < context.operands.size(); ++i) {
    if (!context.operands[i].present()) continue;
    views[graph.Find(absl::StrCat("%", op.operands[i].name))] = context.operands[i];
  }
  size_t output = 0;
  for (size_t i = 0; i < context.results.size(); ++i) {
    if (op.results[i].aliases < 0) views[graph.outputs()[output++]] = context.results[i];
  }
  Arena arena;
  for (const auto& node : graph.nodes()) {
    std::vector<TensorView> operands, results;
    for (const Value* value : node->operands()) {
      operands.push_back(value != nullptr ? views.at(value) : TensorView{});
    }
    for (const auto& result : node->results()) {
      const int aliased = node->op().results[static_cast<size_t>(result->result_index())].aliases;
      auto [it, is_new] = views.try_emplace(result.get());
      if (aliased >= 0) {
        it->second = operands[static_cast<size_t>(aliased)];
      } else if (is_new) {
        SLUICE_ASSIGN_OR_RETURN(it->second, ViewOf(result->type(), symbols));
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
  return Expansion(call, registry).Build();
}

absl::Status Evaluate(const EvalContext& context, const OpRegistry& registry) {
  if (context.call.op.eval != nullptr) return context.call.op.eval(context);
  return EvaluateExpansion(context, registry);
}

}  // namespace sluice
