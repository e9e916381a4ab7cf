#include "tools/views/page_data.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "passes/kernel_choice.h"
#include "passes/pipeline.h"
#include "tools/debug/diff.h"
#include "tools/views/node_cost.h"

namespace sluice {
namespace {

using nlohmann::json;

json SpanJson(const std::optional<MemSpan>& span) {
  return span ? json::array({span->region, span->offset, span->bytes}) : json();
}

json Attrs(const Attributes& attrs) {
  json result = json::object();
  for (const auto& [name, value] : attrs) result[name] = ToString(value);
  return result;
}

json Choices(const Node& node, const Graph& graph, const CompileContext& context) {
  json list = json::array();
  for (const KernelChoice& choice : KernelChoices(node, graph.Bounds(), context)) {
    list.push_back({choice.kernel->name, choice.refusal, choice.seconds});
  }
  return list;
}

const char* KindName(Value::Kind kind) {
  switch (kind) {
    case Value::Kind::kInput:
      return "input";
    case Value::Kind::kWeight:
      return "weight";
    case Value::Kind::kState:
      return "state";
    case Value::Kind::kResult:
      break;
  }
  return "result";
}

json SourceRecord(const Value& source, const SymbolValues& bounds) {
  json record = {{"kind", KindName(source.kind())},
                 {"type", source.type().ToString()},
                 {"bytes", bounds.EvaluateBytes(source.type()).value_or(0)}};
  if (!source.layout().empty()) record["layout"] = source.layout();
  if (source.mem()) record["mem"] = SpanJson(source.mem());
  return record;
}

json GraphRecord(const Graph& graph) {
  json symbols = json::array(), outputs = json::array();
  for (const SymbolDef& symbol : graph.symbols()) symbols.push_back({symbol.name, symbol.bound});
  for (const Value* output : graph.outputs()) outputs.push_back(output->ref());
  return {{"name", graph.name()},
          {"attrs", Attrs(graph.attrs())},
          {"symbols", std::move(symbols)},
          {"outputs", std::move(outputs)}};
}

json OpRecord(const OpDef& op) {
  json operands = json::array(), results = json::array();
  for (const OperandDef& operand : op.operands) operands.push_back({operand.name, operand.doc});
  for (const ResultDef& result : op.results) results.push_back({result.name, result.doc});
  return {{"family", op.family},           {"doc", op.doc},      {"operands", operands},
          {"results", std::move(results)}, {"view", op.is_view}, {"expands_to", op.expands_to}};
}

// The fields of `now` that differ from `before`; null for those that are gone.
json FieldChanges(const json& before, const json& now) {
  json changes = json::object();
  for (const auto& [field, value] : now.items()) {
    if (!before.contains(field) || before[field] != value) changes[field] = value;
  }
  for (const auto& item : before.items()) {
    if (!now.contains(item.key())) changes[item.key()] = nullptr;
  }
  return changes;
}

bool IsMove(const Difference& difference) {
  return difference.what == "node" && !difference.fields.empty() &&
         difference.fields.back().field == "order";
}

// Names of removed nodes, and [name, predecessor] of added and moved ones.
std::pair<json, json> OrderChanges(const Graph& before, const Graph& now) {
  json removed = json::array(), placed = json::array();
  std::map<std::string, std::string> predecessor;
  std::string last;
  for (const auto& node : now.nodes()) {
    predecessor[node->name()] = last;
    last = node->name();
  }
  for (const Difference& difference : Diff(before, now).differences) {
    if (difference.what != "node") continue;
    const std::string name = difference.name.substr(1);
    if (difference.kind == Difference::Kind::kRemoved) {
      removed.push_back(name);
    } else if (difference.kind == Difference::Kind::kAdded || IsMove(difference)) {
      placed.push_back({name, predecessor[name]});
    }
  }
  return {std::move(removed), std::move(placed)};
}

}  // namespace

json NodeRecord(const Node& node, const Graph& graph, const CompileContext& context) {
  json record = {{"op", node.op().name},
                 {"operands", json::array()},
                 {"results", json::array()},
                 {"types", json::array()}};
  for (const Value* operand : node.operands()) {
    record["operands"].push_back(operand != nullptr ? operand->ref() : "_");
  }
  json mem = json::array();
  bool placed = false;
  for (const auto& result : node.results()) {
    record["results"].push_back(result->ref());
    record["types"].push_back(result->type().ToString());
    mem.push_back(SpanJson(result->mem()));
    placed = placed || result->mem();
  }
  if (placed) record["mem"] = std::move(mem);
  if (const int layer = node.layer(); layer >= 0) record["layer"] = layer;
  if (!node.attrs().empty()) record["attrs"] = Attrs(node.attrs());
  if (node.scratch()) record["scratch"] = SpanJson(node.scratch());
  if (node.once()) record["once"] = true;
  if (!node.origin().empty()) record["origin"] = node.origin();
  const OpCost cost = CostAtBounds(node, graph);
  record["cost"] = {cost.flops, cost.bytes_read, cost.bytes_written};
  if (!node.kernel().empty()) {
    record["kernel"] = node.kernel();
    record["choices"] = Choices(node, graph, context);
  }
  return record;
}

void PageData::AddStage(absl::string_view name, const Graph& graph) {
  if (!last_) last_.emplace(graph.name(), &graph.registry());
  const Pass* pass = FindPass(name);
  json stage = {{"name", std::string(name)},
                {"summary", pass != nullptr ? std::string(pass->summary) : ""}};
  std::tie(stage["removed"], stage["placed"]) = OrderChanges(*last_, graph);
  stage["nodes"] = NodeChanges(graph);
  stage["sources"] = SourceChanges(graph);
  if (json record = GraphRecord(graph); record != last_graph_) {
    stage["graph"] = record;
    last_graph_ = std::move(record);
  }
  NoteDocumentation(graph);
  stages_.push_back(std::move(stage));
  last_ = graph.Clone();
}

json PageData::NodeChanges(const Graph& graph) {
  json changes = json::object();
  Records records;
  for (const auto& node : graph.nodes()) {
    const auto before = last_nodes_.find(node->name());
    json record = NodeRecord(*node, graph, context_);
    json fields =
        FieldChanges(before != last_nodes_.end() ? before->second : json::object(), record);
    if (!fields.empty()) changes[node->name()] = std::move(fields);
    records[node->name()] = std::move(record);
  }
  last_nodes_ = std::move(records);
  return changes;
}

json PageData::SourceChanges(const Graph& graph) {
  Records records;
  const SymbolValues bounds = graph.Bounds();
  for (const auto& list : {graph.inputs(), graph.weights(), graph.states()}) {
    for (const auto& source : list) records[source->ref()] = SourceRecord(*source, bounds);
  }
  const json changes = FieldChanges(json(last_sources_), json(records));
  last_sources_ = std::move(records);
  return changes;
}

void PageData::NoteDocumentation(const Graph& graph) {
  for (const auto& node : graph.nodes()) {
    const OpDef& op = node->op();
    if (ops_.contains(op.name)) continue;
    ops_[op.name] = OpRecord(op);
    if (context_.kernels == nullptr) continue;
    for (const Kernel* kernel : context_.kernels->ForOp(op.name)) {
      kernels_[kernel->name] = kernel->doc;
    }
  }
}

json PageData::Json() const {
  json times = json::object();
  for (const auto& [node, time] : times_.nodes) times[node] = {time.microseconds, time.runs};
  const std::string timed =
      times_.nodes.empty() ? ""
                           : absl::StrCat(times_.phase, " steps of up to ", times_.bucket,
                                          times_.bucket == 1 ? " token" : " tokens", ", medians");
  return {{"title", title_}, {"ops", ops_},    {"kernels", kernels_},
          {"times", times},  {"timed", timed}, {"stages", stages_}};
}

}  // namespace sluice
