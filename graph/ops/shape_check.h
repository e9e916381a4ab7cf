// What the op families share: operand types checked against the ops' own docs, index checks, rows
// of weights as float32, and cost.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/formats/dequantize.h"
#include "graph/op_def.h"
#include "graph/tensor.h"
#include "graph/type.h"

namespace sluice {

// --- Inference: the docs are the checks (type_pattern.h) ------------------------------------

// What the names of an op's patterns stand for in one call.
class DimBindings {
 public:
  // The dimension that `name` is bound to. An unbound name is a bug of the op and aborts.
  const Dim& operator[](absl::string_view name) const;
  const Shape& leading() const { return leading_; }  // what "..." stands for

 private:
  friend class PatternMatcher;
  friend absl::StatusOr<Dim> Evaluate(const DimExpression& expression, const DimBindings& dims);
  struct Binding {
    std::string name;
    Dim dim;
    std::string origin;  // operand or attribute, for messages
  };
  const Binding* Find(absl::string_view name) const;

  absl::InlinedVector<Binding, 8> dims_;
  Shape leading_;
  std::string leading_origin_;  // empty: no operand has "..."
};

// Checks every present operand against its doc. InvalidArgument with the operand, its type and the
// expected one: "'matmul': weight is f32[8,4], expected any[out,in] where in=3 (from x)".
// A variadic operand is left to the op.
absl::StatusOr<DimBindings> MatchOperands(const OpCall& call);

// Result types by the results' docs; their dtype must be a single one. A result that aliases an
// operand has that operand's type.
absl::StatusOr<std::vector<TensorType>> ResultTypes(const OpCall& call, const DimBindings& dims);

// MatchOperands, then ResultTypes: all the inference that most ops need.
absl::StatusOr<std::vector<TensorType>> InferFromDocs(const OpCall& call);

// Errors for what patterns cannot say.
// "'add': b is f32[3], expected the shape of a, f32[2,4], or its last dimensions"
absl::Status OperandError(const OpCall& call, size_t operand, absl::string_view expected);
// "'topk_softmax': attribute k is 9, expected 1..8"
absl::Status AttrError(const OpCall& call, absl::string_view attr, absl::string_view expected);

// The constant that `name` is bound to; InvalidArgument if it is symbolic.
absl::StatusOr<int64_t> ConstantDim(const OpCall& call, const DimBindings& dims,
                                    absl::string_view name);

// --- Evaluation -----------------------------------------------------------------------------

// OutOfRange: "'embedding': ids[1,0] is 700, expected 0 <= index < 512". `position` counts the
// operand's elements; the operand is i32.
absl::Status IndexError(const EvalContext& context, size_t operand, int64_t position,
                        int64_t limit);
// The limit of an operand's indices by its record, where tensors have these dims. Operands that
// are left out may be missing at the end of `views`. `symbols` are those of shapes in attributes.
int64_t IndexLimit(const OpCall& call, absl::Span<const TensorView> views, size_t operand,
                   const SymbolValues& symbols = {});
// IndexError for the first element of the operand that is not below its limit.
absl::Status CheckIndices(const EvalContext& context, size_t operand);

// Rows of a tensor of any decodable dtype as float32, decoded one at a time: a weight is never
// expanded as a whole. Works on sliced weights and on data without alignment.
class RowReader {
 public:
  explicit RowReader(const TensorView& view);
  // Row 0..view.rows()-1, all dimensions but the last counted together. Valid until the next call.
  const float* Row(int64_t row);
  int64_t cols() const { return view_.cols(); }

 private:
  TensorView view_;
  DequantizeFn decode_;
  int64_t rows_per_slice_;  // 0: one piece
  std::vector<float> buffer_;
};

// y[i,o] = bias[o] + sum_j x[i,j] * W[first_row + o, j] for o < out, i < rows, where W is what
// `weight` reads and j runs over its columns. Sums in float64. `bias` may be null.
struct RowProduct {
  const float* x;
  int64_t rows;
  int64_t first_row;
  int64_t out;
  const float* bias;
  float* y;
};
void MultiplyRows(const RowProduct& product, RowReader& weight);

// out[i] = exp(x[i] - max) / sum_j exp(x[j] - max), in float64 and then rounded; x is not empty.
void SoftmaxRow(absl::Span<const float> x, float* out);

// --- Cost -----------------------------------------------------------------------------------

// All operands read and all results written once, with `flops` operations.
OpCost StreamingCost(const CostContext& context, double flops);

// Operations per element of silu: negate, exp, add, divide. A transcendental function counts as
// one. gelu is counted the same.
inline constexpr int kActivationFlops = 4;

}  // namespace sluice
