#include "tests/support/random_graph.h"

#include <vector>

#include "tests/support/any_op.h"
#include "tests/support/graph_composer.h"
#include "tests/support/graph_idioms.h"

namespace sluice {
namespace {

Value* AddBlock(GraphComposer& c, Value* x) {
  const int64_t choice = c.Below(100);
  if (choice < 25) return Residual(c, x, AttentionBlock);
  if (choice < 42) return Residual(c, x, FeedForwardBlock);
  if (choice < 62) return Residual(c, x, ExpertBlock);
  if (choice < 80) return Chain(c, x);
  return Side(c, x);
}

void AddAnything(GraphComposer& c) {
  std::vector<const OpDef*> ops;
  for (const auto& op : StandardOps().ops()) ops.push_back(op.get());
  for (int64_t n = c.Below(6); n > 0; --n) {
    if (c.Chance(15)) {
      AddTwin(c);
    } else {
      AddNode(c, *ops[static_cast<size_t>(c.Below(static_cast<int64_t>(ops.size())))]);
    }
  }
}

}  // namespace

absl::StatusOr<Graph> MakeRandomGraph(uint64_t seed) {
  GraphComposer c(seed);
  Value* x = c.Input("stream", {DType::kF32, {c.tokens(), c.hidden()}});
  const int blocks = 1 + static_cast<int>(c.Below(4));
  for (int layer = 0; layer < blocks; ++layer) {
    c.BeginLayer(layer);
    x = AddBlock(c, x);
    AddAnything(c);
  }
  return std::move(c).Finish(x);
}

}  // namespace sluice
