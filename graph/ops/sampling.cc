// Choosing tokens from logits.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "graph/ops/elementwise.h"
#include "graph/ops/ops.h"
#include "graph/ops/shape_check.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

// --- top_k ----------------------------------------------------------------------------------

absl::StatusOr<std::vector<TensorType>> InferTopK(const OpCall& call) {
  SLUICE_ASSIGN_OR_RETURN(const DimBindings dims, MatchOperands(call));
  SLUICE_ASSIGN_OR_RETURN(const int64_t n, ConstantDim(call, dims, "n"));
  const int64_t k = call.Int("k");
  if (k < 1 || k > n) return AttrError(call, "k", absl::StrCat("1..", n));
  return ResultTypes(call, dims);
}

absl::Status EvalTopK(const EvalContext& context) {
  const TensorView& x = As<UnaryCall>(context).x;
  const int64_t k = context.call.Int("k"), n = x.cols();
  std::vector<int32_t> order(static_cast<size_t>(n));
  for (int64_t row = 0; row < x.rows(); ++row) {
    const float* values = x.f32() + row * n;
    const auto rank = [&](int32_t i) {
      return std::isnan(values[i]) ? std::numeric_limits<float>::infinity() : values[i];
    };
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int32_t a, int32_t b) {
      return rank(a) != rank(b) ? rank(a) > rank(b) : a < b;
    });
    std::copy_n(order.begin(), k, context.results[1].i32() + row * k);
    std::transform(order.begin(), order.begin() + k, context.results[0].f32() + row * k,
                   [&](int32_t i) { return values[i]; });
  }
  return absl::OkStatus();
}

OpCost TopKCost(const CostContext& context) {
  return StreamingCost(context, static_cast<double>(As<UnaryCall>(context).x.elements()));
}

OpDef TopK() {
  return {
      .name = "top_k",
      .family = "sampling",
      .doc =
          "The k largest elements of each row, as they are, and their indices: in descending "
          "order, of equal ones the smaller index first. A NaN counts as +inf, so that both come "
          "first and whoever reads the result sees that there was one. k=1 is argmax.",
      .operands = Named(UnaryCall<OperandSpec>{.x = {.doc = "f32[t,n]"}}),
      .results = {{"values", "f32[t,k]"}, {"ids", "i32[t,k]"}},
      .attrs = {{"k", AttrKind::kInt, "elements of each row", std::nullopt, {}}},
      .infer = InferTopK,
      .eval = EvalTopK,
      .cost = TopKCost,
      .expands_to = "",
  };
}

}  // namespace

absl::Status RegisterSamplingOps(OpRegistry& registry) { return registry.Register(TopK()); }

}  // namespace sluice
