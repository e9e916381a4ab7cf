// Arithmetic element by element, and softmax over rows.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "absl/strings/str_cat.h"
#include "graph/ops/ops.h"
#include "graph/ops/shape_check.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

// Cost of a unary op or a broadcasting binary one, per element of the result.
template <int kFlopsPerElement>
OpCost PerElementCost(const CostContext& context) {
  return StreamingCost(context,
                       kFlopsPerElement * static_cast<double>(context.results[0].elements()));
}

// out[i] = f(x[i]); `f` computes in float64.
template <typename F>
void MapElements(const EvalContext& context, F f) {
  const float* x = context.operands[0].f32();
  std::transform(x, x + context.operands[0].elements(), context.results[0].f32(),
                 [&](float value) { return static_cast<float>(f(static_cast<double>(value))); });
}

// --- add, mul -------------------------------------------------------------------------------

absl::StatusOr<std::vector<TensorType>> InferBinary(const OpCall& call) {
  SLUICE_RETURN_IF_ERROR(MatchOperands(call).status());
  const TensorType& a = *call.operands[0];
  const TensorType& b = *call.operands[1];
  if (b.rank() > a.rank() || !std::equal(b.shape.rbegin(), b.shape.rend(), a.shape.rbegin())) {
    return OperandError(call, 1,
                        absl::StrCat("the shape of a, ", a.ToString(), ", or its last dimensions"));
  }
  return std::vector<TensorType>{a};
}

template <typename F>
absl::Status EvalBinary(const EvalContext& context) {
  const TensorView& a = context.operands[0];
  const TensorView& b = context.operands[1];
  float* out = context.results[0].f32();
  // A weight may lie at any address, hence the reader.
  RowReader b_rows(b);
  const int64_t cols = b.cols();
  for (int64_t row = 0; row * cols < a.elements(); ++row) {
    const float* from = a.f32() + row * cols;
    std::transform(from, from + cols, b_rows.Row(row % b.rows()), out + row * cols, F());
  }
  return absl::OkStatus();
}

OpDef Binary(std::string name, std::string doc, absl::Status (*eval)(const EvalContext&)) {
  return {
      .name = std::move(name),
      .family = "elementwise",
      .doc = std::move(doc),
      .operands = {{"a", "f32[...]"}, {"b", "f32[...], the shape of a or its last dimensions"}},
      .results = {{"out", "f32[...], the shape of a"}},
      .attrs = {},
      .infer = InferBinary,
      .eval = eval,
      .cost = PerElementCost<1>,
      .is_commutative = true,
      .expands_to = "",
  };
}
