// OpDef: everything the project knows about one operation, in one record.
//
// Printer, parser, proto form, verifier and passes read these records; none of them names an op.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/attributes.h"
#include "graph/tensor.h"
#include "graph/type.h"
#include "graph/type_pattern.h"

namespace sluice {

struct OpDef;

// In which order the elements of an operand with indices come.
enum class IndexOrder : uint8_t {
  kAny,
  kDistinct,   // no value twice
  kAscending,  // from 0 to the limit, with both ends
};

// All that there is to know of an operand. `type` and `limit` are read from the texts when the op
// is registered.
struct OperandDef {
  std::string name = "";
  std::string doc = "";  // a type pattern (type_pattern.h), then words: "f32[t,in], one a token"
  bool optional = false;
  bool variadic = false;    // last operand only; stands for one or more
  bool repackable = false;  // a weight may come in another layout (backends/kernel.h)
  bool positive = false;    // floats above 0
  // Says nothing that the others do not: where a kernel wants it, the compiler adds it
  // (derive_operands).
  bool derived = false;
  // What the elements of an i32 operand are below, if they are indices: a dimension expression
  // (type_pattern.h) over the dimensions of the op's operands, its int attributes and its shapes of
  // one dimension, "vocab".
  std::string below = "";
  bool or_equal = false;  // the limit itself, too: lengths, ends of runs
  IndexOrder order = IndexOrder::kAny;
  std::optional<TypePattern> type = std::nullopt;  // none: the op's inference checks it alone
  DimExpression limit = {};                        // of `below`

  bool is_state() const { return type.has_value() && type->is_state; }
  bool holds_indices() const { return !below.empty(); }
};

struct ResultDef {
  std::string name;
  std::string doc;
  int aliases = -1;  // operand whose storage this result shares, e.g. an updated KV cache
  // Operand whose place the result may take where nobody needs that operand afterwards and both
  // have one type: every kernel reads an element, and what it needs of its row, before it writes
  // there. -1: none.
  int in_place = -1;
  std::optional<TypePattern> type = std::nullopt;  // as an operand's
};

struct AttrDef {
  std::string name;
  AttrKind kind;
  std::string doc;
  std::optional<AttrValue> default_value;  // none: required
  std::vector<std::string> choices;        // allowed values of a string
};

// One application of an op, before or without a Node: what inference, evaluation and cost see.
struct OpCall {
  const OpDef& op;
  absl::Span<const TensorType* const> operands;  // nullptr: optional operand left out
  const Attributes& attrs;

  bool Has(size_t operand) const {
    return operand < operands.size() && operands[operand] != nullptr;
  }
  // Attribute values, or their defaults. The schema was checked before: asking for an attribute
  // that the op does not declare, or as another kind, is a bug of the op.
  int64_t Int(absl::string_view name) const;
  double Float(absl::string_view name) const;
  bool Bool(absl::string_view name) const;
  const std::string& String(absl::string_view name) const;
  const Shape& ShapeOf(absl::string_view name) const;
};

// Inputs and outputs of a reference evaluation. Results are allocated by the caller with the
// inferred shapes; a result that aliases an operand shares its storage, which is updated in place.
struct EvalContext {
  const OpCall& call;
  absl::Span<const TensorView> operands;  // present() tells whether an optional one is there
  absl::Span<const TensorView> results;
};

// What a node does with concrete shapes. `context` is the number of cached tokens that attention
// sees for each token of the step. Bytes count each buffer once (weights: the part that is used).
struct CostContext {
  const OpCall& call;
  absl::Span<const TensorView> operands;  // dims only, no data
  absl::Span<const TensorView> results;
  int64_t context = 0;
};
struct OpCost {
  double flops = 0;  // a multiply-add counts two
  double bytes_read = 0;
  double bytes_written = 0;
};

struct OpDef {
  std::string name;
  std::string family;  // the file: linear, moe, norm_rope, attention, elementwise, layout, sampling
  std::string doc;     // one paragraph; formulae with their source
  std::vector<OperandDef> operands;
  std::vector<ResultDef> results;
  std::vector<AttrDef> attrs;

  // Result types from operand types and attributes; every error of use is found here. The number
  // and presence of operands and the attributes' kinds were checked before the call.
  absl::StatusOr<std::vector<TensorType>> (*infer)(const OpCall& call) = nullptr;

  // Reference semantics in plain float32 with float64 accumulation. Null for a fused op with
  // `expands_to`. Errors: what only data can show (an expert id out of range, a NaN router logit).
  absl::Status (*eval)(const EvalContext& context) = nullptr;

  // Null: no arithmetic, all operands read and all results written once.
  OpCost (*cost)(const CostContext& context) = nullptr;

  // Result 0 is operand 0 with another type: the same bytes in the same order. Memory planning
  // gives both one place, and backends move nothing.
  bool is_view = false;

  // Result 0 is operand 0, of whatever device: the only way from one device to another.
  bool is_transfer = false;

  // Its two operands may be exchanged where their types are equal.
  bool is_commutative = false;

  // Graph text that a fused op stands for: its documentation, its reference meaning and its
  // fusion pattern. Free values are the operands, by name; attributes are written $name; results
  // are named as in `results`. See graph/pattern.h, graph/evaluate.h.
  std::string expands_to;

  const AttrDef* FindAttr(absl::string_view attr_name) const;
  // True if a result shares an operand's storage: the node changes a state in place.
  bool UpdatesState() const;
};

// Checks operand count and presence and the attributes against the op's record.
// Messages do not name the node; Graph and the verifier add it.
absl::Status CheckSchema(const OpCall& call);
// CheckSchema, then inference.
absl::StatusOr<std::vector<TensorType>> InferResults(const OpCall& call);

// An immutable set of ops once built. Filled by explicit calls, one per family.
class OpRegistry {
 public:
  // AlreadyExists for a duplicate; InvalidArgument for a record that contradicts itself.
  absl::Status Register(OpDef def);
  const OpDef* Find(absl::string_view name) const;                       // nullptr if unknown
  absl::Span<const std::unique_ptr<OpDef>> ops() const { return ops_; }  // order of registration

 private:
  std::vector<std::unique_ptr<OpDef>> ops_;
  absl::flat_hash_map<std::string, const OpDef*> by_name_;
};

// All ops of the project, which `ops/ops.cc` lists. Built on first use and never changed after.
const OpRegistry& StandardOps();

}  // namespace sluice
