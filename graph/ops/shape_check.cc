#include "graph/ops/shape_check.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

std::string LeadingText(const Shape& leading) {
  return leading.empty() ? "nothing" : absl::StrJoin(leading, ",", [](std::string* out, auto& d) {
    absl::StrAppend(out, d.ToString());
  });
}

absl::StatusOr<int64_t> AsConstant(absl::string_view name, const Dim& dim) {
  if (dim.is_constant()) return dim.factor();
  return absl::InvalidArgumentError(
      absl::StrCat("dimension ", name, " is ", dim.ToString(), ", expected a constant"));
}

}  // namespace

// Here, where the formats are known.
bool TypePattern::Accepts(DType dtype) const {
  if (accepts_any) return CanDequantize(dtype);
  return std::find(dtypes.begin(), dtypes.end(), dtype) != dtypes.end();
}

const DimBindings::Binding* DimBindings::Find(absl::string_view name) const {
  for (const Binding& binding : dims_) {
    if (binding.name == name) return &binding;
  }
  return nullptr;
}

const Dim& DimBindings::operator[](absl::string_view name) const {
  const Binding* binding = Find(name);
  if (binding == nullptr) std::abort();
  return binding->dim;
}

namespace {

absl::StatusOr<Dim> Combine(absl::string_view name, const Dim& left, char op, const Dim& right) {
  switch (op) {
    case '*':
      return Dim::Product(left, right);
    case '/':
      return Dim::Quotient(left, right.factor());
    default: {
      SLUICE_ASSIGN_OR_RETURN(const int64_t value, AsConstant(name, left));
      int64_t sum;
      if (__builtin_add_overflow(value, right.factor(), &sum)) {
        return absl::InvalidArgumentError(absl::StrCat("dimension ", name, " is too large"));
      }
      return Dim(sum);
    }
  }
}

}  // namespace

absl::StatusOr<Dim> Evaluate(const DimExpression& expression, const DimBindings& dims) {
  const auto value = [&](const DimExpression::Term& term) -> absl::StatusOr<Dim> {
    if (term.name.empty()) return Dim(term.number);
    const DimBindings::Binding* binding = dims.Find(term.name);
    if (binding != nullptr) return binding->dim;
    return absl::InternalError(absl::StrCat("no operand binds ", expression.ToString()));
  };
  SLUICE_ASSIGN_OR_RETURN(const Dim left, value(expression.left));
  if (expression.op == '\0') return left;
  SLUICE_ASSIGN_OR_RETURN(const Dim right, value(expression.right));
  return Combine(expression.left.name, left, expression.op, right);
}

// Matches the operands of one call against their patterns and fills a DimBindings.
class PatternMatcher {
 public:
  explicit PatternMatcher(const OpCall& call) : call_(call) {}

  // Names first, so that "rows f32[t*k,d]" may stand before the operand that binds k.
  absl::StatusOr<DimBindings> Match() {
    BindAttrs();
    SLUICE_RETURN_IF_ERROR(ForEachOperand(&PatternMatcher::BindNames));
    SLUICE_RETURN_IF_ERROR(ForEachOperand(&PatternMatcher::CheckComputed));
    return std::move(bindings_);
  }

 private:
  absl::Status ForEachOperand(absl::Status (PatternMatcher::*check)(size_t, const TypePattern&)) {
    for (size_t i = 0; i < call_.op.operands.size(); ++i) {
      const OperandDef& operand = call_.op.operands[i];
      if (operand.variadic || !call_.Has(i)) continue;
      if (!operand.type.has_value()) {
        return absl::InternalError(
            absl::StrCat("the doc \"", operand.doc, "\" starts with no type pattern"));
      }
      SLUICE_RETURN_IF_ERROR((this->*check)(i, *operand.type));
    }
    return absl::OkStatus();
  }

  void BindAttrs() {
    for (const AttrDef& attr : call_.op.attrs) {
      if (attr.kind != AttrKind::kInt) continue;
      bindings_.dims_.push_back({attr.name, Dim(call_.Int(attr.name)), "the attribute"});
    }
  }

  absl::Status BindNames(size_t operand, const TypePattern& pattern) {
    const TensorType& type = *call_.operands[operand];
    const size_t leading = type.shape.size() - std::min(type.shape.size(), pattern.dims.size());
    if (!pattern.Accepts(type.dtype)) {
      return OperandError(
          call_, operand,
          absl::StrCat(pattern.text, pattern.accepts_any ? " of a dtype that can be decoded" : ""));
    }
    if (type.is_state != pattern.is_state || type.shape.size() < pattern.dims.size() ||
        (leading > 0 && !pattern.has_leading)) {
      return OperandError(call_, operand, pattern.text);
    }
    if (pattern.binds_leading) SLUICE_RETURN_IF_ERROR(BindLeading(operand, leading));
    for (size_t i = 0; i < pattern.dims.size(); ++i) {
      if (!pattern.dims[i].is_name()) continue;
      SLUICE_RETURN_IF_ERROR(BindName(operand, pattern.dims[i].left.name, type.shape[leading + i]));
    }
    return absl::OkStatus();
  }

  absl::Status BindLeading(size_t operand, size_t count) {
    const Shape& shape = call_.operands[operand]->shape;
    const Shape leading(shape.begin(), shape.begin() + static_cast<int64_t>(count));
    const std::string& name = call_.op.operands[operand].name;
    if (bindings_.leading_origin_.empty()) {
      bindings_.leading_ = leading;
      bindings_.leading_origin_ = name;
    } else if (leading != bindings_.leading_) {
      return OperandError(
          call_, operand,
          absl::StrCat(PatternText(operand), " where ... = ", LeadingText(bindings_.leading_),
                       " (from ", bindings_.leading_origin_, ")"));
    }
    return absl::OkStatus();
  }

  absl::Status BindName(size_t operand, absl::string_view name, const Dim& dim) {
    const DimBindings::Binding* bound = bindings_.Find(name);
    if (bound == nullptr) {
      bindings_.dims_.push_back({std::string(name), dim, call_.op.operands[operand].name});
    } else if (bound->dim != dim) {
      return OperandError(call_, operand,
                          absl::StrCat(PatternText(operand), " where ", name, "=",
                                       bound->dim.ToString(), " (from ", bound->origin, ")"));
    }
    return absl::OkStatus();
  }

  absl::Status CheckComputed(size_t operand, const TypePattern& pattern) {
    const Shape& shape = call_.operands[operand]->shape;
    const size_t leading = shape.size() - pattern.dims.size();
    for (size_t i = 0; i < pattern.dims.size(); ++i) {
      const DimExpression& dim = pattern.dims[i];
      if (dim.is_name()) continue;
      absl::StatusOr<Dim> expected = Evaluate(dim, bindings_);
      if (!expected.ok()) {
        return OperandError(call_, operand,
                            absl::StrCat(pattern.text, ", but ", expected.status().message()));
      }
      if (*expected != shape[leading + i]) {
        return OperandError(call_, operand,
                            dim.is_number() ? pattern.text
                                            : absl::StrCat(pattern.text, " where ", dim.ToString(),
                                                           "=", expected->ToString()));
      }
    }
    return absl::OkStatus();
  }

  const std::string& PatternText(size_t operand) const {
    return call_.op.operands[operand].type->text;
  }

  const OpCall& call_;
  DimBindings bindings_;
};

absl::StatusOr<DimBindings> MatchOperands(const OpCall& call) {
  return PatternMatcher(call).Match();
}

absl::StatusOr<std::vector<TensorType>> ResultTypes(const OpCall& call, const DimBindings& dims) {
  std::vector<TensorType> types;
  for (const ResultDef& result : call.op.results) {
    if (result.aliases >= 0) {
      types.push_back(*call.operands[static_cast<size_t>(result.aliases)]);
      continue;
    }
    if (!result.type.has_value() || result.type->dtypes.size() != 1) {
      return absl::InternalError(absl::StrCat("'", call.op.name, "': result ", result.name,
                                              " has no single dtype: ", result.doc));
    }
    const TypePattern& pattern = *result.type;
    TensorType type{pattern.dtypes[0], {}};
    if (pattern.binds_leading) type.shape = dims.leading();
    for (const DimExpression& expression : pattern.dims) {
      absl::StatusOr<Dim> dim = Evaluate(expression, dims);
      if (!dim.ok()) {
        return absl::InvalidArgumentError(absl::StrCat("'", call.op.name, "': result ", result.name,
                                                       " is ", pattern.text, ", but ",
                                                       dim.status().message()));
      }
      type.shape.push_back(*dim);
    }
    types.push_back(std::move(type));
  }
  return types;
}

absl::StatusOr<std::vector<TensorType>> InferFromDocs(const OpCall& call) {
  SLUICE_ASSIGN_OR_RETURN(const DimBindings dims, MatchOperands(call));
  return ResultTypes(call, dims);
}

absl::Status OperandError(const OpCall& call, size_t operand, absl::string_view expected) {
  const size_t def = std::min(operand, call.op.operands.size() - 1);  // the variadic one
  return absl::InvalidArgumentError(
      absl::StrCat("'", call.op.name, "': ", call.op.operands[def].name, " is ",
                   call.operands[operand]->ToString(), ", expected ", expected));
}

absl::Status AttrError(const OpCall& call, absl::string_view attr, absl::string_view expected) {
  const AttrValue* value = call.attrs.Find(attr);
  if (value == nullptr) value = &*call.op.FindAttr(attr)->default_value;
  return absl::InvalidArgumentError(absl::StrCat("'", call.op.name, "': attribute ", attr, " is ",
                                                 ToString(*value), ", expected ", expected));
}

absl::StatusOr<int64_t> ConstantDim(const OpCall& call, const DimBindings& dims,
                                    absl::string_view name) {
  absl::StatusOr<int64_t> value = AsConstant(name, dims[name]);
  if (value.ok()) return value;
  return absl::InvalidArgumentError(
      absl::StrCat("'", call.op.name, "': ", value.status().message()));
}

absl::Status IndexError(const EvalContext& context, size_t operand, int64_t position,
                        int64_t limit) {
  const TensorView& view = context.operands[operand];
  std::vector<int64_t> index(view.dims.size());
  int64_t rest = position;
  for (size_t axis = index.size(); axis-- > 0; rest /= view.dims[axis]) {
    index[axis] = rest % view.dims[axis];
  }
  const OpDef& op = context.call.op;
  return absl::OutOfRangeError(
      absl::StrCat("'", op.name, "': ", op.operands[operand].name, "[", absl::StrJoin(index, ","),
                   "] is ", view.i32()[position], ", expected 0 <= index < ", limit));
}

int64_t IndexLimit(const OpCall& call, absl::Span<const TensorView> views, size_t operand,
                   const SymbolValues& symbols) {
  const auto value = [&](const DimExpression::Term& term) -> int64_t {
    if (term.name.empty()) return term.number;
    for (size_t i = 0; i < std::min(views.size(), call.op.operands.size()); ++i) {
      if (!call.Has(i) || !call.op.operands[i].type.has_value()) continue;
      const std::vector<DimExpression>& dims = call.op.operands[i].type->dims;
      for (size_t d = 0; d < dims.size(); ++d) {
        if (!dims[d].is_name() || dims[d].left.name != term.name) continue;
        return views[i].dims[views[i].dims.size() - dims.size() + d];
      }
    }
    if (call.op.FindAttr(term.name)->kind == AttrKind::kInt) return call.Int(term.name);
    return symbols.Evaluate(call.ShapeOf(term.name)[0]).value_or(1);
  };
  const DimExpression& limit = call.op.operands[operand].limit;
  const int64_t left = value(limit.left);
  switch (limit.op) {
    case '*':
      return left * value(limit.right);
    case '/':
      return left / value(limit.right);
    case '+':
      return left + value(limit.right);
    default:
      return left;
  }
}

absl::Status CheckIndices(const EvalContext& context, size_t operand) {
  const int64_t limit = IndexLimit(context.call, context.operands, operand);
  const TensorView& view = context.operands[operand];
  for (int64_t i = 0; i < view.elements(); ++i) {
    const int32_t index = view.i32()[i];
    if (index < 0 || index >= limit) return IndexError(context, operand, i, limit);
  }
  return absl::OkStatus();
}

RowReader::RowReader(const TensorView& view)
    : view_(view),
      decode_(DequantizerFor(view.dtype)),
      rows_per_slice_(view.slices.empty() ? 0 : view.rows() / view.dims.front()),
      buffer_(static_cast<size_t>(view.cols())) {}

const float* RowReader::Row(int64_t row) {
  const std::byte* data = rows_per_slice_ == 0 ? view_.data + row * view_.row_bytes()
                                               : view_.Slice(row / rows_per_slice_) +
                                                     row % rows_per_slice_ * view_.row_bytes();
  decode_(data, view_.cols(), buffer_.data());
  return buffer_.data();
}

void MultiplyRows(const RowProduct& product, RowReader& weight) {
  const int64_t cols = weight.cols();
  for (int64_t o = 0; o < product.out; ++o) {
    const float* w = weight.Row(product.first_row + o);
    const double bias = product.bias == nullptr ? 0.0 : product.bias[o];
    for (int64_t i = 0; i < product.rows; ++i) {
      const float* x = product.x + i * cols;
      double sum = bias;
      for (int64_t j = 0; j < cols; ++j) sum += static_cast<double>(x[j]) * w[j];
      product.y[i * product.out + o] = static_cast<float>(sum);
    }
  }
}

void SoftmaxRow(absl::Span<const float> x, float* out) {
  const double max = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (double value : x) sum += std::exp(value - max);
  std::transform(x.begin(), x.end(), out,
                 [&](double value) { return static_cast<float>(std::exp(value - max) / sum); });
}

OpCost StreamingCost(const CostContext& context, double flops) {
  OpCost cost{.flops = flops};
  for (size_t i = 0; i < context.operands.size(); ++i) {
    if (context.call.Has(i)) cost.bytes_read += static_cast<double>(context.operands[i].bytes());
  }
  for (const TensorView& result : context.results) {
    cost.bytes_written += static_cast<double>(result.bytes());
  }
  return cost;
}

}  // namespace sluice
