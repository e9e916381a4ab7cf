// Products with weights: embedding, matmul, and the fused projections and gated unit.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/ops/linear.h"
#include "graph/ops/ops.h"
#include "graph/ops/shape_check.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

absl::Status EvalEmbedding(const EvalContext& context) {
  const auto [table, ids] = As<EmbeddingCall>(context);
  SLUICE_RETURN_IF_ERROR(CheckIndices(context, kOperand<EmbeddingCall>.ids));
  RowReader rows(table);
  float* out = context.results[0].f32();
  for (int64_t i = 0; i < ids.elements(); ++i) {
    std::copy_n(rows.Row(ids.i32()[i]), table.cols(), out + i * table.cols());
  }
  return absl::OkStatus();
}

OpCost EmbeddingCost(const CostContext& context) {
  const auto [table, ids] = As<EmbeddingCall>(context);
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
      .operands =
          Named(EmbeddingCall<OperandSpec>{.table = {.doc = "any[vocab,d]", .repackable = true},
                                           .ids = {.doc = "i32[n]", .below = "vocab"}}),
      .results = {{"out", "f32[n,d]"}},
      .attrs = {},
      .infer = InferFromDocs,
      .eval = EvalEmbedding,
      .cost = EmbeddingCost,
      .expands_to = "",
  };
}

absl::Status EvalMatmul(const EvalContext& context) {
  const MatmulCall<const TensorView&> in = As<MatmulCall>(context);
  std::optional<RowReader> bias;
  if (in.bias.present()) bias.emplace(in.bias);
  RowReader rows(in.weight);
  MultiplyRows({.x = in.x.f32(),
                .rows = in.x.rows(),
                .first_row = 0,
                .out = in.weight.dim(0),
                .bias = bias.has_value() ? bias->Row(0) : nullptr,
                .y = context.results[0].f32()},
               rows);
  return absl::OkStatus();
}

// Multiply-adds of x[...,in] with one [out,in] matrix, counted as two operations each.
double MatmulFlops(const TensorView& x, const TensorView& weight) {
  return 2.0 * static_cast<double>(x.rows()) * static_cast<double>(weight.elements());
}

// The additions of an optional bias to a product.
double BiasFlops(bool has_bias, const TensorView& product) {
  return has_bias ? static_cast<double>(product.elements()) : 0;
}

OpCost MatmulCost(const CostContext& context) {
  const MatmulCall<const TensorView&> in = As<MatmulCall>(context);
  const bool has_bias = As<MatmulCall>(context.call).bias != nullptr;
  return StreamingCost(context,
                       MatmulFlops(in.x, in.weight) + BiasFlops(has_bias, context.results[0]));
}

OpDef Matmul() {
  return {
      .name = "matmul",
      .family = "linear",
      .doc =
          "Product with a weight that is stored row by output, as in GGUF files: "
          "out[...,o] = bias[o] + sum_j x[...,j] * weight[o,j].",
      .operands =
          Named(MatmulCall<OperandSpec>{.x = {.doc = "f32[...,in]"},
                                        .weight = {.doc = "any[out,in]", .repackable = true},
                                        .bias = {.doc = "f32[out]", .optional = true}}),
      .results = {{"out", "f32[...,out]"}},
      .attrs = {},
      .infer = InferFromDocs,
      .eval = EvalMatmul,
      .cost = MatmulCost,
      .expands_to = "",
  };
}

// --- qkv_matmul -----------------------------------------------------------------------------

constexpr size_t kProjections = 3;
constexpr const char* kHeadShapes[kProjections] = {"q_shape", "k_shape", "v_shape"};
constexpr const char* kOutputs[kProjections] = {"q_out", "k_out", "v_out"};

absl::StatusOr<std::vector<TensorType>> InferQkvMatmul(const OpCall& call) {
  SLUICE_ASSIGN_OR_RETURN(const DimBindings dims, MatchOperands(call));
  std::vector<TensorType> types;
  for (size_t i = 0; i < kProjections; ++i) {
    const TensorType product{DType::kF32, {dims["t"], dims[kOutputs[i]]}};
    SLUICE_ASSIGN_OR_RETURN(const Dim elements, ElementCount(product.shape));
    const Shape& shape = call.ShapeOf(kHeadShapes[i]);
    const bool positive =
        std::all_of(shape.begin(), shape.end(), [](const Dim& dim) { return dim.factor() > 0; });
    const absl::StatusOr<Dim> reshaped = ElementCount(shape);
    if (!positive || !reshaped.ok() || *reshaped != elements) {
      return AttrError(call, kHeadShapes[i],
                       absl::StrCat("the ", elements.ToString(), " elements of the product ",
                                    product.ToString()));
    }
    types.push_back({DType::kF32, shape});
  }
  return types;
}

OpCost QkvMatmulCost(const CostContext& context) {
  const auto in = As<QkvMatmulCall>(context);
  const auto given = As<QkvMatmulCall>(context.call);
  const double flops = MatmulFlops(in.x, in.q_weight) + MatmulFlops(in.x, in.k_weight) +
                       MatmulFlops(in.x, in.v_weight) +
                       BiasFlops(given.q_bias != nullptr, context.results[0]) +
                       BiasFlops(given.k_bias != nullptr, context.results[1]) +
                       BiasFlops(given.v_bias != nullptr, context.results[2]);
  return StreamingCost(context, flops);
}

OpDef QkvMatmul() {
  const auto shape = [](const char* name, std::string doc) {
    return AttrDef{.name = name,
                   .kind = AttrKind::kShape,
                   .doc = std::move(doc),
                   .default_value = std::nullopt,
                   .choices = {}};
  };
  return {
      .name = "qkv_matmul",
      .family = "linear",
      .doc =
          "The three projections of attention (Vaswani et al. 2017, arXiv:1706.03762) of the same "
          "rows, each in the shape of its heads. The weights may differ in format.",
      .operands =
          Named(QkvMatmulCall<OperandSpec>{.x = {.doc = "f32[t,in]"},
                                           .q_weight = {.doc = "any[q_out,in]", .repackable = true},
                                           .k_weight = {.doc = "any[k_out,in]", .repackable = true},
                                           .v_weight = {.doc = "any[v_out,in]", .repackable = true},
                                           .q_bias = {.doc = "f32[q_out]", .optional = true},
                                           .k_bias = {.doc = "f32[k_out]", .optional = true},
                                           .v_bias = {.doc = "f32[v_out]", .optional = true}}),
      .results = {{"q", "f32, the t*q_out elements in q_shape"},
                  {"k", "f32, the t*k_out elements in k_shape"},
                  {"v", "f32, the t*v_out elements in v_shape"}},
      .attrs = {shape("q_shape", "of q, [t,heads,head_dim]; symbols allowed"),
                shape("k_shape", "of k"), shape("v_shape", "of v")},
      .infer = InferQkvMatmul,
      .cost = QkvMatmulCost,
      .expands_to =
          "%q2 = matmul(%x, %q_weight, %q_bias?)\n"
          "%k2 = matmul(%x, %k_weight, %k_bias?)\n"
          "%v2 = matmul(%x, %v_weight, %v_bias?)\n"
          "%q = reshape(%q2) {shape=$q_shape}\n"
          "%k = reshape(%k2) {shape=$k_shape}\n"
          "%v = reshape(%v2) {shape=$v_shape}",
  };
}

// --- glu ------------------------------------------------------------------------------------

OpCost GluCost(const CostContext& context) {
  const auto in = As<GluCall>(context);
  const auto given = As<GluCall>(context.call);
  const TensorView& out = context.results[0];
  return StreamingCost(context, MatmulFlops(in.x, in.gate) + MatmulFlops(in.x, in.up) +
                                    BiasFlops(given.gate_bias != nullptr, out) +
                                    BiasFlops(given.up_bias != nullptr, out) +
                                    (kActivationFlops + 1) * static_cast<double>(out.elements()));
}

OpDef Glu() {
  return {
      .name = "glu",
      .family = "linear",
      .doc =
          "Gated linear unit, the first half of a feed-forward block (Shazeer 2020, "
          "arXiv:2002.05202): out = act(gate x + gate_bias) * (up x + up_bias), where gelu is "
          "the tanh form. Gate and up may differ in format.",
      .operands = Named(GluCall<OperandSpec>{.x = {.doc = "f32[...,in]"},
                                             .gate = {.doc = "any[ff,in]", .repackable = true},
                                             .up = {.doc = "any[ff,in]", .repackable = true},
                                             .gate_bias = {.doc = "f32[ff]", .optional = true},
                                             .up_bias = {.doc = "f32[ff]", .optional = true}}),
      .results = {{"out", "f32[...,ff]"}},
      .attrs = {{.name = "act",
                 .kind = AttrKind::kString,
                 .doc = "op that is applied to the gate",
                 .default_value = std::nullopt,
                 .choices = {"silu", "gelu"}}},
      .infer = InferFromDocs,
      .cost = GluCost,
      .expands_to =
          "%g = matmul(%x, %gate, %gate_bias?)\n"
          "%u = matmul(%x, %up, %up_bias?)\n"
          "%s = $act(%g)\n"
          "%out = mul(%s, %u)",
  };
}

}  // namespace

absl::Status RegisterLinearOps(OpRegistry& registry) {
  for (OpDef (*op)() : {Embedding, Matmul, QkvMatmul, Glu}) {
    SLUICE_RETURN_IF_ERROR(registry.Register(op()));
  }
  return absl::OkStatus();
}

}  // namespace sluice
