// Ops that move or convert elements and compute nothing.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "graph/formats/quantize.h"
#include "graph/ops/layout.h"
#include "graph/ops/ops.h"
#include "graph/ops/shape_check.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

constexpr char kPlainDoc[] = "f32|f16|bf16|i32[...]";

bool IsPlain(DType dtype) { return IsPlainFloat(dtype) || dtype == DType::kI32; }

// The operand, or the first of a list.
const TensorType& FirstType(const OpCall& call) { return *As<UnaryCall>(call).x; }

// The attribute axis, which must name a dimension of the first operand.
absl::StatusOr<size_t> AxisOf(const OpCall& call) {
  const TensorType& x = FirstType(call);
  const int64_t axis = call.Int("axis");
  if (axis < 0 || axis >= x.rank()) {
    return AttrError(call, "axis", absl::StrCat("a dimension of ", x.ToString()));
  }
  return static_cast<size_t>(axis);
}

// Extent of `view` before, along and after an axis, the last in bytes.
struct AxisSplit {
  AxisSplit(const TensorView& view, int64_t axis) : along(view.dim(axis)) {
    for (int64_t i = 0; i < axis; ++i) outer *= view.dim(i);
    for (int64_t i = axis + 1; i < view.rank(); ++i) inner_bytes *= view.dim(i);
    inner_bytes *= Info(view.dtype).bytes_per_block;
  }
  int64_t outer = 1;
  int64_t along;
  int64_t inner_bytes = 1;
};

// --- gather_rows ----------------------------------------------------------------------------

absl::Status EvalGatherRows(const EvalContext& context) {
  const auto [x, rows] = As<GatherRowsCall>(context);
  SLUICE_RETURN_IF_ERROR(CheckIndices(context, kOperand<GatherRowsCall>.rows));
  for (int64_t i = 0; i < rows.elements(); ++i) {
    std::copy_n(x.f32() + rows.i32()[i] * x.cols(), x.cols(),
                context.results[0].f32() + i * x.cols());
  }
  return absl::OkStatus();
}

OpCost GatherRowsCost(const CostContext& context) {
  OpCost cost;
  cost.bytes_written = static_cast<double>(context.results[0].bytes());
  cost.bytes_read =
      cost.bytes_written + static_cast<double>(As<GatherRowsCall>(context).rows.bytes());
  return cost;
}

OpDef GatherRows() {
  return {
      .name = "gather_rows",
      .family = "layout",
      .doc = "Picks rows: out[i,:] = x[rows[i],:]. A row outside x is an error at run time.",
      .operands = Named(GatherRowsCall<OperandSpec>{.x = {.doc = "f32[n,d]"},
                                                    .rows = {.doc = "i32[m]", .below = "n"}}),
      .results = {{"out", "f32[m,d]"}},
      .attrs = {},
      .infer = InferFromDocs,
      .eval = EvalGatherRows,
      .cost = GatherRowsCost,
      .expands_to = "",
  };
}

// --- slice ----------------------------------------------------------------------------------

absl::StatusOr<std::vector<TensorType>> InferSlice(const OpCall& call) {
  SLUICE_RETURN_IF_ERROR(MatchOperands(call).status());
  SLUICE_ASSIGN_OR_RETURN(const size_t axis, AxisOf(call));
  TensorType type = FirstType(call);
  const Dim& dim = type.shape[axis];
  if (!dim.is_constant()) {
    return OperandError(call, kOperand<UnaryCall>.x,
                        absl::StrCat("a constant dimension ", axis, ", the axis"));
  }
  const int64_t begin = call.Int("begin"), end = call.Int("end");
  if (begin < 0 || begin >= dim.factor()) {
    return AttrError(call, "begin", absl::StrCat("0 <= begin < ", dim.factor()));
  }
  if (end <= begin || end > dim.factor()) {
    return AttrError(call, "end", absl::StrCat(begin, " < end <= ", dim.factor()));
  }
  type.shape[axis] = end - begin;
  return std::vector<TensorType>{type};
}

absl::Status EvalSlice(const EvalContext& context) {
  const TensorView& x = As<UnaryCall>(context).x;
  const AxisSplit split(x, context.call.Int("axis"));
  const int64_t begin = context.call.Int("begin");
  const int64_t bytes = (context.call.Int("end") - begin) * split.inner_bytes;
  for (int64_t i = 0; i < split.outer; ++i) {
    std::copy_n(x.data + (i * split.along + begin) * split.inner_bytes, bytes,
                context.results[0].data + i * bytes);
  }
  return absl::OkStatus();
}

OpCost SliceCost(const CostContext& context) {
  const auto bytes = static_cast<double>(context.results[0].bytes());
  return {.flops = 0, .bytes_read = bytes, .bytes_written = bytes};
}

AttrDef IntAttr(const char* name, const char* doc) {
  return {.name = name,
          .kind = AttrKind::kInt,
          .doc = doc,
          .default_value = std::nullopt,
          .choices = {}};
}

OpDef Slice() {
  return {
      .name = "slice",
      .family = "layout",
      .doc =
          "The indices begin..end-1 of one dimension: out[..,i,..] = x[..,begin+i,..]. The "
          "dimension is constant.",
      .operands = Named(UnaryCall<OperandSpec>{.x = {.doc = kPlainDoc}}),
      .results = {{"out", "as x, with end-begin along the axis"}},
      .attrs = {IntAttr("axis", "dimension, 0 the outermost"), IntAttr("begin", "first index"),
                IntAttr("end", "one past the last index")},
      .infer = InferSlice,
      .eval = EvalSlice,
      .cost = SliceCost,
      .expands_to = "",
  };
}

// --- concat ---------------------------------------------------------------------------------

// The axis' part of operand `i`, which must agree with operand 0 in all else.
absl::StatusOr<int64_t> ConcatExtent(const OpCall& call, size_t i, size_t axis) {
  if (!call.Has(i)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'concat': operand ", i, " is left out, expected a tensor"));
  }
  const TensorType& type = *call.operands[i];
  if (!IsPlain(type.dtype) || type.is_state) return OperandError(call, i, kPlainDoc);
  TensorType aligned = type;
  if (axis < type.shape.size()) aligned.shape[axis] = FirstType(call).shape[axis];
  if (aligned != FirstType(call)) {
    return OperandError(call, i,
                        absl::StrCat("the ", FirstType(call).ToString(),
                                     " of the first operand but for dimension ", axis));
  }
  if (!type.shape[axis].is_constant()) {
    return OperandError(call, i, absl::StrCat("a constant dimension ", axis, ", the axis"));
  }
  return type.shape[axis].factor();
}

absl::StatusOr<std::vector<TensorType>> InferConcat(const OpCall& call) {
  SLUICE_ASSIGN_OR_RETURN(const size_t axis, AxisOf(call));
  int64_t total = 0;
  for (size_t i = 0; i < call.operands.size(); ++i) {
    SLUICE_ASSIGN_OR_RETURN(const int64_t extent, ConcatExtent(call, i, axis));
    if (__builtin_add_overflow(total, extent, &total)) {
      return OperandError(call, i, "a sum of dimensions that fits 64 bits");
    }
  }
  TensorType type = FirstType(call);
  type.shape[axis] = total;
  return std::vector<TensorType>{type};
}

absl::Status EvalConcat(const EvalContext& context) {
  const int64_t axis = context.call.Int("axis");
  const AxisSplit split(context.results[0], axis);
  std::byte* out = context.results[0].data;
  for (int64_t i = 0; i < split.outer; ++i) {
    for (const TensorView& operand : context.operands) {
      const int64_t bytes = operand.dim(axis) * split.inner_bytes;
      out = std::copy_n(operand.data + i * bytes, bytes, out);
    }
  }
  return absl::OkStatus();
}

OpDef Concat() {
  return {
      .name = "concat",
      .family = "layout",
      .doc =
          "Joins tensors along one dimension, in operand order. They have one dtype and agree in "
          "all other dimensions; the joined one is constant in each.",
      .operands = {{.name = "xs", .doc = kPlainDoc, .variadic = true}},
      .results = {{"out", "as xs, with their sum along the axis"}},
      .attrs = {IntAttr("axis", "dimension, 0 the outermost")},
      .infer = InferConcat,
      .eval = EvalConcat,
      .expands_to = "",
  };
}

// --- reshape --------------------------------------------------------------------------------

absl::StatusOr<std::vector<TensorType>> InferReshape(const OpCall& call) {
  SLUICE_RETURN_IF_ERROR(MatchOperands(call).status());
  const Shape& shape = call.ShapeOf("shape");
  for (const Dim& dim : shape) {
    if (dim.factor() < 1) return AttrError(call, "shape", "dimensions of at least 1");
  }
  SLUICE_ASSIGN_OR_RETURN(const Dim elements, ElementCount(FirstType(call).shape));
  const absl::StatusOr<Dim> reshaped = ElementCount(shape);
  if (!reshaped.ok() || *reshaped != elements) {
    return AttrError(
        call, "shape",
        absl::StrCat("the ", elements.ToString(), " elements of x ", FirstType(call).ToString()));
  }
  return std::vector<TensorType>{{FirstType(call).dtype, shape}};
}

absl::Status EvalReshape(const EvalContext& context) {
  const TensorView& x = As<UnaryCall>(context).x;
  // A view: the two may be one place.
  std::memmove(context.results[0].data, x.data, static_cast<size_t>(x.bytes()));
  return absl::OkStatus();
}

OpCost NoCost(const CostContext&) { return {}; }

OpDef Reshape() {
  return {
      .name = "reshape",
      .family = "layout",
      .doc =
          "The same elements in the same row-major order under another shape with as many "
          "elements, whatever the symbols stand for.",
      .operands = Named(UnaryCall<OperandSpec>{.x = {.doc = kPlainDoc}}),
      .results = {{"out", "as x, with the attribute's shape"}},
      .attrs = {{.name = "shape",
                 .kind = AttrKind::kShape,
                 .doc = "of the result; symbols allowed",
                 .default_value = std::nullopt,
                 .choices = {}}},
      .infer = InferReshape,
      .eval = EvalReshape,
      .cost = NoCost,
      .is_view = true,
      .expands_to = "",
  };
}

// --- copy -----------------------------------------------------------------------------------

absl::StatusOr<std::vector<TensorType>> InferCopy(const OpCall& call) {
  SLUICE_RETURN_IF_ERROR(MatchOperands(call).status());
  return std::vector<TensorType>{FirstType(call)};
}

absl::Status EvalCopy(const EvalContext& context) {
  const TensorView& x = As<UnaryCall>(context).x;
  std::copy_n(x.data, x.bytes(), context.results[0].data);
  return absl::OkStatus();
}

OpDef Copy() {
  return {
      .name = "copy",
      .family = "layout",
      .doc =
          "The same elements in another place. Where nodes have devices, x may be on another one "
          "than the copy, which brings it to its own.",
      .operands = Named(UnaryCall<OperandSpec>{.x = {.doc = kPlainDoc}}),
      .results = {{"out", "as x"}},
      .attrs = {},
      .infer = InferCopy,
      .eval = EvalCopy,
      .is_transfer = true,
      .expands_to = "",
  };
}

// --- cast -----------------------------------------------------------------------------------

absl::StatusOr<std::vector<TensorType>> InferCast(const OpCall& call) {
  SLUICE_RETURN_IF_ERROR(MatchOperands(call).status());
  TensorType type = FirstType(call);
  type.dtype = *DTypeFromName(call.String("to"));  // the choices are names of dtypes
  return std::vector<TensorType>{type};
}

int32_t TruncateToInt(float value) {
  if (std::isnan(value)) return 0;
  constexpr double kMin = std::numeric_limits<int32_t>::min();
  constexpr double kMax = std::numeric_limits<int32_t>::max();
  return static_cast<int32_t>(std::clamp(static_cast<double>(value), kMin, kMax));
}

void CastFromInt(const TensorView& x, const TensorView& out) {
  const std::vector<float> values(x.i32(), x.i32() + x.elements());
  QuantizerFor(out.dtype)(values.data(), x.elements(), out.data);
}

void CastFromFloat(const TensorView& x, const TensorView& out) {
  RowReader reader(x);
  const int64_t cols = x.cols();
  for (int64_t row = 0; row < x.rows(); ++row) {
    const float* values = reader.Row(row);
    if (out.dtype == DType::kI32) {
      std::transform(values, values + cols, out.i32() + row * cols, TruncateToInt);
    } else {
      QuantizerFor(out.dtype)(values, cols, out.data + row * out.row_bytes());
    }
  }
}

absl::Status EvalCast(const EvalContext& context) {
  const TensorView& x = As<UnaryCall>(context).x;
  const TensorView& out = context.results[0];
  if (x.dtype == out.dtype) {
    std::copy_n(x.data, x.bytes(), out.data);
  } else if (x.dtype == DType::kI32) {
    CastFromInt(x, out);
  } else {
    CastFromFloat(x, out);
  }
  return absl::OkStatus();
}

OpDef Cast() {
  return {
      .name = "cast",
      .family = "layout",
      .doc =
          "Converts each element, by way of float32. To a float: rounded to nearest, ties to even. "
          "To i32: the fraction is cut off, values beyond its range become its ends, NaN becomes "
          "0.",
      .operands = Named(UnaryCall<OperandSpec>{.x = {.doc = kPlainDoc}}),
      .results = {{"out", "as x, with the dtype `to`"}},
      .attrs = {{.name = "to",
                 .kind = AttrKind::kString,
                 .doc = "dtype of the result",
                 .default_value = std::nullopt,
                 .choices = {"f32", "f16", "bf16", "i32"}}},
      .infer = InferCast,
      .eval = EvalCast,
      .expands_to = "",
  };
}

}  // namespace

absl::Status RegisterLayoutOps(OpRegistry& registry) {
  for (OpDef (*op)() : {GatherRows, Slice, Concat, Reshape, Copy, Cast}) {
    SLUICE_RETURN_IF_ERROR(registry.Register(op()));
  }
  return absl::OkStatus();
}

}  // namespace sluice
