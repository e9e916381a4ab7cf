// Products with weights: embedding, matmul, and the fused projections and gated unit.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/ops/ops.h"
#include "graph/ops/shape_check.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

// embedding
constexpr size_t kTable = 0;
constexpr size_t kIds = 1;
// matmul, and x of the fused ops
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

// The additions of an optional bias to a product.
double BiasFlops(const CostContext& context, size_t bias, const TensorView& product) {
  return context.call.Has(bias) ? static_cast<double>(product.elements()) : 0;
}

OpCost MatmulCost(const CostContext& context) {
  return StreamingCost(context, MatmulFlops(context.operands[kX], context.operands[kWeight]) +
                                    BiasFlops(context, kBias, context.results[0]));
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

// --- qkv_matmul -----------------------------------------------------------------------------

constexpr size_t kProjections = 3;  // weights are operands 1..3, biases 4..6
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
  double flops = 0;
  for (size_t i = 0; i < kProjections; ++i) {
    flops += MatmulFlops(context.operands[kX], context.operands[1 + i]) +
             BiasFlops(context, 1 + kProjections + i, context.results[i]);
  }
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
      .operands = {{"x", "f32[t,in]"},
                   {"q_weight", "any[q_out,in]"},
                   {"k_weight", "any[k_out,in]"},
                   {"v_weight", "any[v_out,in]"},
                   {"q_bias", "f32[q_out]", /*optional=*/true},
                   {"k_bias", "f32[k_out]", /*optional=*/true},
                   {"v_bias", "f32[v_out]", /*optional=*/true}},
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
  const TensorView& x = context.operands[0];
  const TensorView& out = context.results[0];
  return StreamingCost(context, MatmulFlops(x, context.operands[1]) +
                                    MatmulFlops(x, context.operands[2]) +
                                    BiasFlops(context, 3, out) + BiasFlops(context, 4, out) +
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
