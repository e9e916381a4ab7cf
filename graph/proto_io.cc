#include "graph/proto_io.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "graph/error_list.h"
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

// Names in an error may come from the message as they are: no control characters on a terminal.
std::string Printable(absl::string_view text) {
  std::string result(text);
  std::replace_if(result.begin(), result.end(), absl::ascii_iscntrl, '?');
  return result;
}

struct DeclaredNode {
  NodeSpec spec;
  std::vector<TensorType> types;
};

// Goes on after an error, but not with what uses what is missing for it.
class Reader {
 public:
  Reader(const proto::Graph& message, const OpRegistry* registry)
      : message_(message), graph_(message.name(), registry) {}

  absl::StatusOr<Graph> Run() && {
    Tell(ReadHeader());
    SLUICE_RETURN_IF_ERROR(errors_.ToStatus());  // types need symbols
    ReadSources(message_.inputs(), "inputs", &Graph::AddInput);
    ReadSources(message_.weights(), "weights", &Graph::AddWeight);
    ReadSources(message_.states(), "states", &Graph::AddState);
    for (int i = 0; i < message_.nodes_size() && !errors_.is_cut_off(); ++i) ReadNode(i);
    for (int i = 0; i < message_.outputs_size() && !errors_.is_cut_off(); ++i) ReadOutput(i);
    SLUICE_RETURN_IF_ERROR(errors_.ToStatus());
    const Violations violations = FindViolations(graph_);
    for (const Violation& violation : violations.shown) errors_.Add(Printable(violation.message));
    errors_.Count(violations.more);
    SLUICE_RETURN_IF_ERROR(errors_.ToStatus());
    return std::move(graph_);
  }

 private:
  using AddSource = absl::StatusOr<Value*> (Graph::*)(absl::string_view, TensorType);

  bool Tell(const absl::Status& status) {
    if (!status.ok()) errors_.Add(Printable(status.message()));
    return status.ok();
  }

  absl::Status ReadHeader() {
    SLUICE_ASSIGN_OR_RETURN(const Attributes attrs, ReadAttributes(message_.attributes()));
    for (const auto& [name, value] : attrs) graph_.SetAttr(name, value);
    for (int i = 0; i < message_.symbols_size(); ++i) {
      const proto::Symbol& symbol = message_.symbols(i);
      SLUICE_RETURN_IF_ERROR(
          In(graph_.AddSymbol(symbol.name(), symbol.bound()), "symbols[", i, "]"));
    }
    return absl::OkStatus();
  }

  void ReadSources(const google::protobuf::RepeatedPtrField<proto::Value>& messages,
                   absl::string_view list, AddSource add) {
    const absl::string_view sigil = add == &Graph::AddWeight ? "@" : "%";
    for (int i = 0; i < messages.size() && !errors_.is_cut_off(); ++i) {
      if (Tell(ReadSource(messages[i], absl::StrCat(list, "[", i, "]"), add))) continue;
      missing_.insert(absl::StrCat(sigil, messages[i].name()));
    }
  }

  absl::Status ReadSource(const proto::Value& message, absl::string_view place, AddSource add) {
    absl::StatusOr<TensorType> type = ReadType(message.type());
    SLUICE_RETURN_IF_ERROR(In(type.status(), place, ": ", message.name()));
    const absl::StatusOr<Value*> value = (graph_.*add)(message.name(), *std::move(type));
    SLUICE_RETURN_IF_ERROR(In(value.status(), place));
    ReadStorage(message, *value);
    return absl::OkStatus();
  }

  // What is not defined is told once.
  absl::StatusOr<Value*> FindDefined(const std::string& ref) {
    Value* value = graph_.Find(ref);
    if (value != nullptr) return value;
    missing_.insert(ref);
    return absl::InvalidArgumentError(
        absl::StrCat("nothing before defines '", ref, "', expected %name or @name of a value"));
  }

  void ReadNode(int index) {
    const proto::Node& message = message_.nodes(index);
    const auto& operands = message.operands();
    const bool uses_missing = std::any_of(operands.begin(), operands.end(),
                                          [&](auto& ref) { return missing_.contains(ref); });
    if (!uses_missing && Tell(AddNode(message, absl::StrCat("nodes[", index, "]")))) return;
    for (const proto::Value& result : message.results()) {
      missing_.insert(absl::StrCat("%", result.name()));
    }
  }

  absl::StatusOr<DeclaredNode> DeclaredBy(const proto::Node& message) {
    DeclaredNode node;
    node.spec.op = message.op();
    for (const std::string& ref : message.operands()) {
      node.spec.operands.push_back(nullptr);
      if (ref.empty()) continue;
      SLUICE_ASSIGN_OR_RETURN(node.spec.operands.back(), FindDefined(ref));
    }
    SLUICE_ASSIGN_OR_RETURN(node.spec.attrs, ReadAttributes(message.attributes()));
    for (const proto::Value& result : message.results()) {
      node.spec.names.push_back(result.name());
      SLUICE_ASSIGN_OR_RETURN(TensorType type, ReadType(result.type()));
      node.types.push_back(std::move(type));
    }
    return node;
  }

  absl::Status AddNode(const proto::Node& message, absl::string_view place) {
    absl::StatusOr<DeclaredNode> declared = DeclaredBy(message);
    SLUICE_RETURN_IF_ERROR(In(declared.status(), place, ": %",
                              message.results().empty() ? "" : message.results(0).name()));
    const absl::StatusOr<Node*> node = graph_.Add(std::move(declared->spec));
    SLUICE_RETURN_IF_ERROR(In(node.status(), place));
    SLUICE_RETURN_IF_ERROR(In(CheckDeclaredTypes(**node, declared->types), place));
    for (size_t i = 0; i < declared->types.size(); ++i) {
      ReadStorage(message.results(static_cast<int>(i)), (*node)->result(i));
    }
    (*node)->set_device(message.device());
    (*node)->set_kernel(message.kernel());
    (*node)->set_origin(message.origin());
    if (message.has_scratch()) (*node)->set_scratch(ReadMemory(message.scratch()));
    (*node)->set_once(message.once());
    if (!message.has_layer()) return absl::OkStatus();
    if (message.layer() < -1) {
      return absl::InvalidArgumentError(
          absl::StrCat(place, ": layer is ", message.layer(), ", expected -1 (none) or more"));
    }
    (*node)->set_layer(message.layer());
    return absl::OkStatus();
  }

  void ReadOutput(int index) {
    const std::string& ref = message_.outputs(index);
    if (missing_.contains(ref)) return;
    const absl::StatusOr<Value*> value = FindDefined(ref);
    Tell(In(value.ok() ? graph_.AddOutput(*value) : value.status(), "outputs[", index, "]"));
  }

  const proto::Graph& message_;
  Graph graph_;
  ErrorList errors_;
  // References of what is wrong or undefined, and of what uses that.
  absl::flat_hash_set<std::string> missing_;
};

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
  return Reader(message, registry).Run();
}

}  // namespace sluice
