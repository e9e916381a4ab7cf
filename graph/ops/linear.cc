// Products with weights: embedding, matmul and the fused gated unit.
#include <algorithm>
#include <optional>

#include "graph/ops/ops.h"
#include "graph/ops/shape_check.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

// embedding
constexpr size_t kTable = 0;
constexpr size_t kIds = 1;
// matmul, and x of glu
constexpr size_t kX = 0;
constexpr size_t kWeight = 1;
constexpr size_t kBias = 2;

absl::Status EvalEmbedding(const EvalContext& context) {
  const TensorView& table = context.operands[kTable];
  const TensorView& ids = context.operands[kIds];
  SLUICE_RETURN_IF_ERROR(CheckIndices(context, kIds, table.dim(0)));
  RowReader rows(table);
  float* out = context.results[0].f32();
  for (int64_t i = 0; i < ids.elements(); ++i) {
    std::copy_n(rows.Row(ids.i32()[i]), table.cols(), out + i * table.cols());
  }
  return absl::OkStatus();
}

OpCost EmbeddingCost(const CostContext& context) {
  const TensorView& table = context.operands[kTable];
  const TensorView& ids = context.operands[kIds];
  OpCost cost = StreamingCost(context, 0);
  const int64_t rows = std::min(ids.elements(), table.rows());
  cost.bytes_read = static_cast<double>(ids.bytes() + rows * table.row_bytes());
  return cost;
}

OpDef Embedding() {
  return {
      .name = "embedding",
      .family = "linear",
      .doc = "Rows of a table: out[i,:] = table[ids[i],:]. An id outside the table is an error.",
      .operands = {{"table", "any[vocab,d]"}, {"ids", "i32[n]"}},
      .results = {{"out", "f32[n,d]"}},
      .attrs = {},
      .infer = InferFromDocs,
      .eval = EvalEmbedding,
      .cost = EmbeddingCost,
      .expands_to = "",
  };
}

absl::Status EvalMatmul(const EvalContext& context) {
  const TensorView& x = context.operands[kX];
  const TensorView& weight = context.operands[kWeight];
  std::optional<RowReader> bias;
  if (context.call.Has(kBias)) bias.emplace(context.operands[kBias]);
  RowReader rows(weight);
  MultiplyRows({.x = x.f32(),
                .rows = x.rows(),
                .first_row = 0,
                .out = weight.dim(0),
                .bias = bias.has_value() ? bias->Row(0) : nullptr,
                .y = context.results[0].f32()},
               rows);
  return absl::OkStatus();
}

// Multiply-adds of x[...,in] with one [out,in] matrix, counted as two operations each.
double MatmulFlops(const TensorView& x, const TensorView& weight) {
  return 2.0 * static_cast<double>(x.rows()) * static_cast<double>(weight.elements());
}

OpCost MatmulCost(const CostContext& context) {
  const double flops = MatmulFlops(context.operands[kX], context.operands[kWeight]);
  const double bias_flops =
      context.call.Has(kBias) ? static_cast<double>(context.results[0].elements()) : 0;
  return StreamingCost(context, flops + bias_flops);
}

OpDef Matmul() {
  return {
      .name = "matmul",
      .family = "linear",
      .doc =
          "Product with a weight that is stored row by output, as in GGUF files: "
          "out[...,o] = bias[o] + sum_j x[...,j] * weight[o,j].",
      .operands = {{"x", "f32[...,in]"},
                   {"weight", "any[out,in]"},
                   {"bias", "f32[out]", /*optional=*/true}},
      .results = {{"out", "f32[...,out]"}},
      .attrs = {},
      .infer = InferFromDocs,
      .eval = EvalMatmul,
      .cost = MatmulCost,
      .expands_to = "",
  };
}

OpCost GluCost(const CostContext& context) {
  const TensorView& x = context.operands[0];
  const auto outputs = static_cast<double>(context.results[0].elements());
  const double biases = (context.call.Has(3) ? 1 : 0) + (context.call.Has(4) ? 1 : 0);
  return StreamingCost(context, MatmulFlops(x, context.operands[1]) +
                                    MatmulFlops(x, context.operands[2]) +
                                    (kActivationFlops + 1 + biases) * outputs);
}

OpDef Glu() {
  return {
      .name = "glu",
      .family = "linear",
      .doc =
          "Gated linear unit, the first half of a feed-forward block (Shazeer 2020, "
          "arXiv:2002.05202): out = act(gate x + gate_bias) * (up x + up_bias), where gelu is "
          "the tanh form. Gate and up may differ in format.",
      .operands = {{"x", "f32[...,in]"},
                   {"gate", "any[ff,in]"},
                   {"up", "any[ff,in]"},
                   {"gate_bias", "f32[ff]", /*optional=*/true},
                   {"up_bias", "f32[ff]", /*optional=*/true}},
      .results = {{"out", "f32[...,ff]"}},
      .attrs = {{.name = "act",
                 .kind = AttrKind::kString,
                 .doc = "op that is applied to the gate",
                 .default_value = std::nullopt,
                 .choices = {"silu", "gelu"}}},
      .infer = InferFromDocs,
      .cost = GluCost,
      .expands_to =
          "%g = matmul(%x, %gate, %gate_bias)\n"
          "%u = matmul(%x, %up, %up_bias)\n"
          "%s = $act(%g)\n"
          "%out = mul(%s, %u)",
  };
}

}  // namespace

absl::Status RegisterLinearOps(OpRegistry& registry) {
  for (OpDef (*op)() : {Embedding, Matmul, Glu}) {
    SLUICE_RETURN_IF_ERROR(registry.Register(op()));
  }
  return absl::OkStatus();
}

}  // namespace sluice
