// GraphBuilder: models in code. Remembers the first error, so that a model reads as its maths and
// is checked once, at Build().
//
//   GraphBuilder b("tiny");
//   b.Symbol("tokens", 512);
//   Value* ids = b.Input("token_ids", {DType::kI32, {Dim::Symbol("tokens")}});
//   Value* table = b.Weight("token_embd", {DType::kF16, {256, 64}});
//   Value* x = b.Op("x", "embedding", {table, ids});
//   b.Output(b.Op("y", "rms_norm", {x}, {{"eps", 1e-6}}));
//   absl::StatusOr<Graph> graph = std::move(b).Build();
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "graph/graph.h"

namespace sluice {

class GraphBuilder {
 public:
  explicit GraphBuilder(std::string name) : graph_(std::move(name)) {}

  void Symbol(absl::string_view name, int64_t bound);
  void Attr(absl::string_view name, AttrValue value) { graph_.SetAttr(name, std::move(value)); }

  // After an error these return nullptr and do nothing; passing nullptr on is fine.
  Value* Input(absl::string_view name, TensorType type);
  Value* Weight(absl::string_view name, TensorType type);
  Value* State(absl::string_view name, TensorType type);

  // An op with one result called `name`. A nullptr operand stands for an optional one that is left
  // out, or stems from an earlier error.
  Value* Op(absl::string_view name, absl::string_view op, std::vector<Value*> operands,
            Attributes attrs = {});
  // An op with several results, one name each. As many nullptrs after an error.
  std::vector<Value*> Ops(std::vector<std::string> names, absl::string_view op,
                          std::vector<Value*> operands, Attributes attrs = {});
  void Output(Value* value);

  bool ok() const { return status_.ok(); }
  // The verified graph, or what is wrong.
  absl::StatusOr<Graph> Build() &&;

 private:
  Value* Keep(absl::StatusOr<Value*> value);

  Graph graph_;
  absl::Status status_;
};

}  // namespace sluice
