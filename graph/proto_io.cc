#include "graph/proto_io.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "graph/load_common.h"
#include "graph/status_macros.h"
#include "graph/verifier.h"

namespace sluice {
namespace {

// --- To proto -------------------------------------------------------------------------------

template <typename Dimensions>
void WriteShape(const Shape& shape, Dimensions* out) {
  for (const Dim& dim : shape) {
    proto::Dimension* dimension = out->Add();
    dimension->set_factor(dim.factor());
    dimension->set_symbol(dim.symbol());
  }
}

void WriteAttributes(const Attributes& attrs,
                     google::protobuf::RepeatedPtrField<proto::Attribute>* out) {
  struct Writer {
    proto::Attribute* out;
    void operator()(int64_t v) const { out->set_int_value(v); }
    void operator()(double v) const { out->set_float_value(v); }
    void operator()(bool v) const { out->set_bool_value(v); }
    void operator()(const std::string& v) const { out->set_string_value(v); }
    void operator()(const Shape& v) const {
      WriteShape(v, out->mutable_shape_value()->mutable_dimensions());
    }
  };
  for (const auto& [name, value] : attrs) {
    proto::Attribute* attribute = out->Add();
    attribute->set_name(name);
    std::visit(Writer{attribute}, value);
  }
}

void WriteMemory(const MemSpan& span, proto::Memory* out) {
  out->set_region(span.region);
  out->set_offset(span.offset);
  out->set_bytes(span.bytes);
}

void WriteValues(absl::Span<const std::unique_ptr<Value>> values,
                 google::protobuf::RepeatedPtrField<proto::Value>* out) {
  for (const auto& value : values) {
    proto::Value* message = out->Add();
    message->set_name(value->name());
    message->mutable_type()->set_dtype(std::string(Name(value->type().dtype)));
    WriteShape(value->type().shape, message->mutable_type()->mutable_shape());
    message->mutable_type()->set_is_state(value->type().is_state);
    message->set_layout(value->layout());
    if (value->mem().has_value()) WriteMemory(*value->mem(), message->mutable_memory());
  }
}

void WriteNode(const Node& node, proto::Node* out) {
  out->set_op(node.op().name);
  for (const Value* operand : node.operands()) {
    out->add_operands(operand != nullptr ? operand->ref() : "");
  }
  WriteAttributes(node.attrs(), out->mutable_attributes());
  WriteValues(node.results(), out->mutable_results());
  out->set_device(node.device());
  out->set_kernel(node.kernel());
  out->set_origin(node.origin());
  if (node.scratch().has_value()) WriteMemory(*node.scratch(), out->mutable_scratch());
  out->set_once(node.once());
  if (node.layer() != LayerOf(node.name())) out->set_layer(node.layer());
}

// --- From proto -----------------------------------------------------------------------------

// `status` with the place in the message where it comes from.
template <typename... Where>
absl::Status In(const absl::Status& status, const Where&... where) {
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat(where..., ": ", status.message()));
}

template <typename Dimensions>
absl::StatusOr<Shape> ReadShape(const Dimensions& dimensions) {
  if (static_cast<size_t>(dimensions.size()) > kMaxRank) {
    return absl::InvalidArgumentError(absl::StrCat("a shape has ", dimensions.size(),
                                                   " dimensions, expected at most ", kMaxRank));
  }
  Shape shape;
  for (const proto::Dimension& dimension : dimensions) {
    shape.push_back(Dim::Symbol(dimension.symbol(), dimension.factor()));
  }
  return shape;
}

absl::StatusOr<TensorType> ReadType(const proto::Type& message) {
  TensorType type;
  SLUICE_ASSIGN_OR_RETURN(type.dtype, FindDType(message.dtype()));
  SLUICE_ASSIGN_OR_RETURN(type.shape, ReadShape(message.shape()));
  type.is_state = message.is_state();
  return type;
}

absl::StatusOr<AttrValue> ReadAttrValue(const proto::Attribute& message) {
  switch (message.value_case()) {
    case proto::Attribute::kIntValue:
      return message.int_value();
    case proto::Attribute::kFloatValue:
      return message.float_value();
    case proto::Attribute::kBoolValue:
      return message.bool_value();
    case proto::Attribute::kStringValue:
      return message.string_value();
    case proto::Attribute::kShapeValue:
      return ReadShape(message.shape_value().dimensions());
    case proto::Attribute::VALUE_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("has no value");
}

absl::StatusOr<Attributes> ReadAttributes(
    const google::protobuf::RepeatedPtrField<proto::Attribute>& messages) {
  Attributes attrs;
  for (const proto::Attribute& message : messages) {
    absl::StatusOr<AttrValue> value = ReadAttrValue(message);
    SLUICE_RETURN_IF_ERROR(In(value.status(), "attribute '", message.name(), "'"));
    SLUICE_RETURN_IF_ERROR(AddAttribute(message.name(), *std::move(value), &attrs));
  }
  return attrs;
}

MemSpan ReadMemory(const proto::Memory& message) {
  return {message.region(), message.offset(), message.bytes()};
}

void ReadStorage(const proto::Value& message, Value* value) {
  if (message.has_memory()) value->set_mem(ReadMemory(message.memory()));
  value->set_layout(message.layout());
}

using AddSource = absl::StatusOr<Value*> (Graph::*)(absl::string_view, TensorType);

absl::Status ReadSources(const google::protobuf::RepeatedPtrField<proto::Value>& messages,
                         absl::string_view list, AddSource add, Graph* graph) {
  for (int i = 0; i < messages.size(); ++i) {
    const proto::Value& message = messages[i];
    absl::StatusOr<TensorType> type = ReadType(message.type());
    SLUICE_RETURN_IF_ERROR(In(type.status(), list, "[", i, "]: ", message.name()));
    const absl::StatusOr<Value*> value = (graph->*add)(message.name(), *std::move(type));
    SLUICE_RETURN_IF_ERROR(In(value.status(), list, "[", i, "]"));
    ReadStorage(message, *value);
  }
  return absl::OkStatus();
}

absl::StatusOr<Value*> FindDefined(const Graph& graph, const std::string& ref) {
  if (Value* value = graph.Find(ref)) return value;
  return absl::InvalidArgumentError(
      absl::StrCat("nothing before defines '", ref, "', expected %name or @name of a value"));
}

struct DeclaredNode {
  NodeSpec spec;
  std::vector<TensorType> types;
};

absl::StatusOr<DeclaredNode> ReadNode(const proto::Node& message, const Graph& graph) {
  DeclaredNode node;
  node.spec.op = message.op();
  for (const std::string& ref : message.operands()) {
    node.spec.operands.push_back(nullptr);
    if (ref.empty()) continue;
    SLUICE_ASSIGN_OR_RETURN(node.spec.operands.back(), FindDefined(graph, ref));
  }
  SLUICE_ASSIGN_OR_RETURN(node.spec.attrs, ReadAttributes(message.attributes()));
  for (const proto::Value& result : message.results()) {
    node.spec.names.push_back(result.name());
    SLUICE_ASSIGN_OR_RETURN(TensorType type, ReadType(result.type()));
    node.types.push_back(std::move(type));
  }
  return node;
}

absl::Status AddNode(const proto::Node& message, DeclaredNode declared, Graph* graph) {
  TakeWholeNumbersAsFloats(graph->registry(), &declared.spec);
  SLUICE_ASSIGN_OR_RETURN(Node * node, graph->Add(std::move(declared.spec)));
  SLUICE_RETURN_IF_ERROR(CheckDeclaredTypes(*node, declared.types));
  for (size_t i = 0; i < declared.types.size(); ++i) {
    ReadStorage(message.results(static_cast<int>(i)), node->result(i));
  }
  node->set_device(message.device());
  node->set_kernel(message.kernel());
  node->set_origin(message.origin());
  if (message.has_scratch()) node->set_scratch(ReadMemory(message.scratch()));
  node->set_once(message.once());
  if (!message.has_layer()) return absl::OkStatus();
  if (message.layer() < -1) {
    return absl::InvalidArgumentError(
        absl::StrCat("layer is ", message.layer(), ", expected -1 (none) or more"));
  }
  node->set_layer(message.layer());
  return absl::OkStatus();
}

absl::Status ReadNodes(const proto::Graph& message, Graph* graph) {
  for (int i = 0; i < message.nodes_size(); ++i) {
    const proto::Node& node = message.nodes(i);
    absl::StatusOr<DeclaredNode> declared = ReadNode(node, *graph);
    SLUICE_RETURN_IF_ERROR(In(declared.status(), "nodes[", i, "]: %",
                              node.results().empty() ? "" : node.results(0).name()));
    SLUICE_RETURN_IF_ERROR(In(AddNode(node, *std::move(declared), graph), "nodes[", i, "]"));
  }
  return absl::OkStatus();
}

absl::Status ReadHeader(const proto::Graph& message, Graph* graph) {
  SLUICE_ASSIGN_OR_RETURN(const Attributes attrs, ReadAttributes(message.attributes()));
  for (const auto& [name, value] : attrs) graph->SetAttr(name, value);
  for (int i = 0; i < message.symbols_size(); ++i) {
    const proto::Symbol& symbol = message.symbols(i);
    SLUICE_RETURN_IF_ERROR(In(graph->AddSymbol(symbol.name(), symbol.bound()), "symbols[", i, "]"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Graph> Read(const proto::Graph& message, const OpRegistry* registry) {
  Graph graph(message.name(), registry);
  SLUICE_RETURN_IF_ERROR(ReadHeader(message, &graph));
  SLUICE_RETURN_IF_ERROR(ReadSources(message.inputs(), "inputs", &Graph::AddInput, &graph));
  SLUICE_RETURN_IF_ERROR(ReadSources(message.weights(), "weights", &Graph::AddWeight, &graph));
  SLUICE_RETURN_IF_ERROR(ReadSources(message.states(), "states", &Graph::AddState, &graph));
  SLUICE_RETURN_IF_ERROR(ReadNodes(message, &graph));
  for (int i = 0; i < message.outputs_size(); ++i) {
    const absl::StatusOr<Value*> value = FindDefined(graph, message.outputs(i));
    SLUICE_RETURN_IF_ERROR(In(value.status(), "outputs[", i, "]"));
    SLUICE_RETURN_IF_ERROR(In(graph.AddOutput(*value), "outputs[", i, "]"));
  }
  SLUICE_RETURN_IF_ERROR(Verify(graph));
  return graph;
}

// Names in an error may come from the message as they are: no control characters on a terminal.
std::string Printable(absl::string_view text) {
  std::string result(text);
  std::replace_if(result.begin(), result.end(), absl::ascii_iscntrl, '?');
  return result;
}

}  // namespace

proto::Graph ToProto(const Graph& graph) {
  proto::Graph message;
  message.set_name(graph.name());
  WriteAttributes(graph.attrs(), message.mutable_attributes());
  for (const SymbolDef& symbol : graph.symbols()) {
    proto::Symbol* out = message.add_symbols();
    out->set_name(symbol.name);
    out->set_bound(symbol.bound);
  }
  WriteValues(graph.inputs(), message.mutable_inputs());
  WriteValues(graph.weights(), message.mutable_weights());
  WriteValues(graph.states(), message.mutable_states());
  for (const auto& node : graph.nodes()) WriteNode(*node, message.add_nodes());
  for (const Value* output : graph.outputs()) message.add_outputs(output->ref());
  return message;
}

absl::StatusOr<Graph> FromProto(const proto::Graph& message, const OpRegistry* registry) {
  absl::StatusOr<Graph> graph = Read(message, registry);
  if (graph.ok()) return graph;
  return absl::InvalidArgumentError(Printable(graph.status().message()));
}

}  // namespace sluice
