// Arithmetic element by element, softmax over rows, and means of rows.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "graph/ops/elementwise.h"
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
  const TensorView& x = As<UnaryCall>(context).x;
  std::transform(x.f32(), x.f32() + x.elements(), context.results[0].f32(),
                 [&](float value) { return static_cast<float>(f(static_cast<double>(value))); });
}

// --- add, mul -------------------------------------------------------------------------------

absl::StatusOr<std::vector<TensorType>> InferBinary(const OpCall& call) {
  SLUICE_ASSIGN_OR_RETURN(const DimBindings dims, MatchOperands(call));
  const auto [a_type, b_type] = As<BinaryCall>(call);
  const TensorType &a = *a_type, &b = *b_type;
  if (b.rank() > a.rank() || !std::equal(b.shape.rbegin(), b.shape.rend(), a.shape.rbegin())) {
    return OperandError(call, kOperand<BinaryCall>.b,
                        absl::StrCat("the shape of a, ", a.ToString(), ", or its last dimensions"));
  }
  return ResultTypes(call, dims);
}

template <typename F>
absl::Status EvalBinary(const EvalContext& context) {
  const auto [a, b] = As<BinaryCall>(context);
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
      .operands = Named(BinaryCall<OperandSpec>{
          .a = {.doc = "f32[...]"}, .b = {.doc = "f32[*], the shape of a or its last dimensions"}}),
      .results = {{.name = "out", .doc = "f32[...]", .in_place = 0}},
      .attrs = {},
      .infer = InferBinary,
      .eval = eval,
      .cost = PerElementCost<1>,
      .is_commutative = true,
      .expands_to = "",
  };
}

OpDef Add() { return Binary("add", "Sum: out = a + b.", EvalBinary<std::plus<float>>); }
OpDef Mul() { return Binary("mul", "Product: out = a * b.", EvalBinary<std::multiplies<float>>); }

// --- silu, gelu, scale ----------------------------------------------------------------------

OpDef Unary(std::string name, std::string doc, absl::Status (*eval)(const EvalContext&)) {
  return {
      .name = std::move(name),
      .family = "elementwise",
      .doc = std::move(doc),
      .operands = Named(UnaryCall<OperandSpec>{.x = {.doc = "f32[...]"}}),
      .results = {{.name = "out", .doc = "f32[...]", .in_place = 0}},
      .attrs = {},
      .infer = InferFromDocs,
      .eval = eval,
      .expands_to = "",
  };
}

absl::Status EvalSilu(const EvalContext& context) {
  MapElements(context, [](double x) { return x / (1 + std::exp(-x)); });
  return absl::OkStatus();
}

OpDef Silu() {
  OpDef op = Unary("silu", "out = x / (1 + exp(-x)) (Elfwing 2017, arXiv:1702.03118).", EvalSilu);
  op.cost = PerElementCost<kActivationFlops>;
  return op;
}

double GeluTanh(double x) {
  constexpr double kSqrt2OverPi = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;
  return 0.5 * x * (1 + std::tanh(kSqrt2OverPi * (x + 0.044715 * x * x * x)));
}

double GeluErf(double x) { return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2)); }

absl::Status EvalGelu(const EvalContext& context) {
  MapElements(context, context.call.String("approximate") == "tanh" ? GeluTanh : GeluErf);
  return absl::OkStatus();
}

OpDef Gelu() {
  OpDef op = Unary("gelu",
                   "Gaussian error linear unit (Hendrycks and Gimpel 2016, arXiv:1606.08415): "
                   "tanh form out = x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))), "
                   "exact form out = x/2 * (1 + erf(x / sqrt(2))).",
                   EvalGelu);
  op.attrs = {{"approximate",
               AttrKind::kString,
               "tanh, or none for the exact form",
               std::string("tanh"),
               {"tanh", "none"}}};
  op.cost = PerElementCost<kActivationFlops>;
  return op;
}

absl::StatusOr<std::vector<TensorType>> InferScale(const OpCall& call) {
  if (!std::isfinite(call.Float("factor"))) return AttrError(call, "factor", "a finite number");
  return InferFromDocs(call);
}

absl::Status EvalScale(const EvalContext& context) {
  const double factor = context.call.Float("factor");
  MapElements(context, [factor](double x) { return x * factor; });
  return absl::OkStatus();
}

OpDef Scale() {
  OpDef op = Unary("scale", "Product with a constant: out = factor * x.", EvalScale);
  op.attrs = {{"factor", AttrKind::kFloat, "the constant", std::nullopt, {}}};
  op.infer = InferScale;
  op.cost = PerElementCost<1>;
  return op;
}

// --- softmax --------------------------------------------------------------------------------

absl::Status EvalSoftmax(const EvalContext& context) {
  const TensorView& x = As<UnaryCall>(context).x;
  for (int64_t i = 0; i < x.rows(); ++i) {
    const int64_t start = i * x.cols();
    SoftmaxRow({x.f32() + start, static_cast<size_t>(x.cols())}, context.results[0].f32() + start);
  }
  return absl::OkStatus();
}

OpDef Softmax() {
  OpDef op = Unary("softmax",
                   "Softmax over the last dimension, stable for any finite x: "
                   "out[...,j] = exp(x[...,j] - max) / sum_i exp(x[...,i] - max).",
                   EvalSoftmax);
  op.operands = Named(UnaryCall<OperandSpec>{.x = {.doc = "f32[...,d]"}});
  op.results = {{.name = "out", .doc = "f32[...,d]", .in_place = 0}};
  op.cost = PerElementCost<4>;  // subtract, exp, sum, divide
  return op;
}

// --- mean_pool ------------------------------------------------------------------------------

absl::Status EvalMeanPool(const EvalContext& context) {
  const auto [x, seq_ids, lens] = As<MeanPoolCall>(context);
  const TensorView& out = context.results[0];
  SLUICE_RETURN_IF_ERROR(CheckIndices(context, kOperand<MeanPoolCall>.seq_ids));
  const int64_t cols = x.cols();
  std::vector<double> sums(static_cast<size_t>(out.elements()));
  for (int64_t t = 0; t < x.rows(); ++t) {
    const float* row = x.f32() + t * cols;
    double* sum = sums.data() + seq_ids.i32()[t] * cols;
    std::transform(row, row + cols, sum, sum, std::plus<double>());
  }
  for (int64_t i = 0; i < out.elements(); ++i) {
    const int32_t length = lens.i32()[i / cols];
    out.f32()[i] = length > 0 ? static_cast<float>(sums[static_cast<size_t>(i)] / length) : 0;
  }
  return absl::OkStatus();
}

// An addition per element of x, a division per element of the result.
OpCost MeanPoolCost(const CostContext& context) {
  return StreamingCost(context, static_cast<double>(As<MeanPoolCall>(context).x.elements() +
                                                    context.results[0].elements()));
}

OpDef MeanPool() {
  return {
      .name = "mean_pool",
      .family = "elementwise",
      .doc =
          "One row for each sequence, the mean of its tokens' rows: out[s,:] = sum of x[t,:] over "
          "all t with seq_ids[t] = s, divided by lens[s]; zeros where lens[s] is below 1. A "
          "sequence id outside lens is an error at run time.",
      .operands = Named(MeanPoolCall<OperandSpec>{
          .x = {.doc = "f32[t,d]"},
          .seq_ids = {.doc = "i32[t], the sequence of each token", .below = "seqs"},
          .lens = {.doc = "i32[seqs], tokens of each sequence", .below = "t", .or_equal = true}}),
      .results = {{"out", "f32[seqs,d]"}},
      .attrs = {},
      .infer = InferFromDocs,
      .eval = EvalMeanPool,
      .cost = MeanPoolCost,
      .expands_to = "",
  };
}

}  // namespace

absl::Status RegisterElementwiseOps(OpRegistry& registry) {
  for (OpDef (*op)() : {Add, Mul, Silu, Gelu, Softmax, Scale, MeanPool}) {
    SLUICE_RETURN_IF_ERROR(registry.Register(op()));
  }
  return absl::OkStatus();
}

}  // namespace sluice
