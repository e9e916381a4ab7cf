#include "graph/ops/shape_check.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

struct TypePattern {
  absl::string_view text;  // all of it, for messages
  bool is_state = false;
  absl::string_view dtypes;
  bool has_leading = false;             // "..." or "*"
  bool binds_leading = false;           // "..."
  std::vector<absl::string_view> dims;  // without the leading ones
};

absl::StatusOr<TypePattern> ParseTypePattern(absl::string_view doc) {
  TypePattern pattern;
  absl::string_view rest = doc;
  pattern.is_state = absl::ConsumePrefix(&rest, "state<");
  const size_t open = rest.find('[');
  const size_t close = rest.find(']');
  if (open == absl::string_view::npos || close == absl::string_view::npos || close < open) {
    return absl::InternalError(absl::StrCat("the doc \"", doc, "\" starts with no type pattern"));
  }
  pattern.dtypes = rest.substr(0, open);
  const absl::string_view dims = rest.substr(open + 1, close - open - 1);
  if (!dims.empty()) pattern.dims = absl::StrSplit(dims, ',');
  pattern.binds_leading = !pattern.dims.empty() && pattern.dims[0] == "...";
  pattern.has_leading = pattern.binds_leading || (!pattern.dims.empty() && pattern.dims[0] == "*");
  if (pattern.has_leading) pattern.dims.erase(pattern.dims.begin());
  const size_t length = close + 1 + (pattern.is_state ? 7 : 0);  // "state<" and '>'
  pattern.text = doc.substr(0, length);
  return pattern;
}

bool AcceptsDType(const TypePattern& pattern, DType dtype) {
  if (pattern.dtypes == "any") return CanDequantize(dtype);
  const std::vector<absl::string_view> names = absl::StrSplit(pattern.dtypes, '|');
  return std::find(names.begin(), names.end(), Name(dtype)) != names.end();
}

bool IsPlainName(absl::string_view expression) {
  return absl::ascii_isalpha(expression[0]) && expression.find_first_of("*+/") == expression.npos;
}

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

// Matches the operands of one call against their patterns and fills a DimBindings.
class PatternMatcher {
 public:
  explicit PatternMatcher(const OpCall& call) : call_(call) {}

  // Names first, so that "rows f32[t*k,d]" may stand before the operand that binds k.
  absl::StatusOr<DimBindings> Match() {
    BindAttrs();
    SLUICE_RETURN_IF_ERROR(ParseDocs());
    for (size_t i = 0; i < patterns_.size(); ++i) {
      if (call_.Has(i)) SLUICE_RETURN_IF_ERROR(BindNames(i));
    }
    for (size_t i = 0; i < patterns_.size(); ++i) {
      if (call_.Has(i)) SLUICE_RETURN_IF_ERROR(CheckComputed(i));
    }
    return std::move(bindings_);
  }

  // The value of a name, a number, or "name op name|number".
  static absl::StatusOr<Dim> Evaluate(absl::string_view expression, const DimBindings& dims) {
    int64_t number;
    if (absl::SimpleAtoi(expression, &number)) return Dim(number);
    const size_t at = expression.find_first_of("*+/");
    const DimBindings::Binding* binding = dims.Find(expression.substr(0, at));
    if (binding == nullptr) {
      return absl::InternalError(absl::StrCat("no operand binds ", expression));
    }
    if (at == expression.npos) return binding->dim;
    SLUICE_ASSIGN_OR_RETURN(const Dim right, Evaluate(expression.substr(at + 1), dims));
    return Combine(*binding, expression[at], right);
  }

 private:
  static absl::StatusOr<Dim> Combine(const DimBindings::Binding& left, char op, const Dim& right) {
    switch (op) {
      case '*':
        return Dim::Product(left.dim, right);
      case '/':
        return Dim::Quotient(left.dim, right.factor());
      default: {
        SLUICE_ASSIGN_OR_RETURN(const int64_t value, AsConstant(left.name, left.dim));
        int64_t sum;
        if (__builtin_add_overflow(value, right.factor(), &sum)) {
          return absl::InvalidArgumentError(absl::StrCat("dimension ", left.name, " is too large"));
        }
        return Dim(sum);
      }
    }
  }

  void BindAttrs() {
    for (const AttrDef& attr : call_.op.attrs) {
      if (attr.kind != AttrKind::kInt) continue;
      bindings_.dims_.push_back({attr.name, Dim(call_.Int(attr.name)), "the attribute"});
    }
  }

  absl::Status ParseDocs() {
    for (const OperandDef& operand : call_.op.operands) {
      if (operand.variadic) break;
      SLUICE_ASSIGN_OR_RETURN(TypePattern pattern, ParseTypePattern(operand.doc));
      patterns_.push_back(std::move(pattern));
    }
    return absl::OkStatus();
  }

  absl::Status BindNames(size_t operand) {
    const TypePattern& pattern = patterns_[operand];
    const TensorType& type = *call_.operands[operand];
    const size_t leading = type.shape.size() - std::min(type.shape.size(), pattern.dims.size());
    if (!AcceptsDType(pattern, type.dtype)) {
      return OperandError(
          call_, operand,
          absl::StrCat(pattern.text,
                       pattern.dtypes == "any" ? " of a dtype that can be decoded" : ""));
    }
    if (type.is_state != pattern.is_state || type.shape.size() < pattern.dims.size() ||
        (leading > 0 && !pattern.has_leading)) {
      return OperandError(call_, operand, pattern.text);
    }
    if (pattern.binds_leading) SLUICE_RETURN_IF_ERROR(BindLeading(operand, leading));
    for (size_t i = 0; i < pattern.dims.size(); ++i) {
      if (!IsPlainName(pattern.dims[i])) continue;
      SLUICE_RETURN_IF_ERROR(BindName(operand, pattern.dims[i], type.shape[leading + i]));
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
          absl::StrCat(patterns_[operand].text, " where ... = ", LeadingText(bindings_.leading_),
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
                          absl::StrCat(patterns_[operand].text, " where ", name, "=",
                                       bound->dim.ToString(), " (from ", bound->origin, ")"));
    }
    return absl::OkStatus();
  }

  absl::Status CheckComputed(size_t operand) {
    const TypePattern& pattern = patterns_[operand];
    const Shape& shape = call_.operands[operand]->shape;
    const size_t leading = shape.size() - pattern.dims.size();
    for (size_t i = 0; i < pattern.dims.size(); ++i) {
      if (IsPlainName(pattern.dims[i])) continue;
      absl::StatusOr<Dim> expected = Evaluate(pattern.dims[i], bindings_);
      if (!expected.ok()) {
        return OperandError(call_, operand,
                            absl::StrCat(pattern.text, ", but ", expected.status().message()));
      }
      if (*expected != shape[leading + i]) {
        const bool is_number = absl::ascii_isdigit(pattern.dims[i][0]);
        return OperandError(call_, operand,
                            is_number ? std::string(pattern.text)
                                      : absl::StrCat(pattern.text, " where ", pattern.dims[i], "=",
                                                     expected->ToString()));
      }
    }
    return absl::OkStatus();
  }

  const OpCall& call_;
  std::vector<TypePattern> patterns_;
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
    SLUICE_ASSIGN_OR_RETURN(const TypePattern pattern, ParseTypePattern(result.doc));
    const std::optional<DType> dtype = DTypeFromName(pattern.dtypes);
    if (!dtype.has_value()) {
      return absl::InternalError(absl::StrCat("'", call.op.name, "': result ", result.name,
                                              " has no single dtype: ", pattern.text));
    }
    TensorType type{*dtype, {}};
    if (pattern.binds_leading) type.shape = dims.leading();
    for (const absl::string_view expression : pattern.dims) {
      absl::StatusOr<Dim> dim = PatternMatcher::Evaluate(expression, dims);
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

absl::Status CheckIndices(const EvalContext& context, size_t operand, int64_t limit) {
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
