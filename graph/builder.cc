#include "graph/builder.h"

#include <utility>

#include "graph/status_macros.h"
#include "graph/verifier.h"

namespace sluice {

Value* GraphBuilder::Keep(absl::StatusOr<Value*> value) {
  if (value.ok()) return *value;
  status_.Update(value.status());
  return nullptr;
}

void GraphBuilder::Symbol(absl::string_view name, int64_t bound) {
  if (ok()) status_.Update(graph_.AddSymbol(name, bound));
}

Value* GraphBuilder::Input(absl::string_view name, TensorType type) {
  return ok() ? Keep(graph_.AddInput(name, std::move(type))) : nullptr;
}

Value* GraphBuilder::Weight(absl::string_view name, TensorType type) {
  return ok() ? Keep(graph_.AddWeight(name, std::move(type))) : nullptr;
}

Value* GraphBuilder::State(absl::string_view name, TensorType type) {
  return ok() ? Keep(graph_.AddState(name, std::move(type))) : nullptr;
}

Value* GraphBuilder::Op(absl::string_view name, absl::string_view op, std::vector<Value*> operands,
                        Attributes attrs) {
  return Ops({std::string(name)}, op, std::move(operands), std::move(attrs)).front();
}

std::vector<Value*> GraphBuilder::Ops(std::vector<std::string> names, absl::string_view op,
                                      std::vector<Value*> operands, Attributes attrs) {
  std::vector<Value*> results(names.size(), nullptr);
  if (!ok()) return results;
  absl::StatusOr<Node*> node = graph_.Add({.op = op,
                                           .operands = std::move(operands),
                                           .attrs = std::move(attrs),
                                           .names = std::move(names)});
  if (!node.ok()) {
    status_.Update(node.status());
    return results;
  }
  for (size_t i = 0; i < results.size(); ++i) results[i] = (*node)->result(i);
  return results;
}

void GraphBuilder::Output(Value* value) {
  if (ok()) status_.Update(graph_.AddOutput(value));
}

absl::StatusOr<Graph> GraphBuilder::Build() && {
  SLUICE_RETURN_IF_ERROR(status_);
  SLUICE_RETURN_IF_ERROR(Verify(graph_));
  return std::move(graph_);
}

}  // namespace sluice
