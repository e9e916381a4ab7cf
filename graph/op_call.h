// Typed views of an op's application: its operands by name, whatever the caller has for them.
//
// Each op, or a group of ops with the same operands, declares one beside its record (ops/linear.h
// and so on):
//
//   template <typename T>
//   struct MatmulCall {
//     SLUICE_OPERANDS(x, weight, bias);
//   };
//
// Its record takes the operands' names and order from there (Named), everybody else the operands:
//
//   const MatmulCall<Value*> in = As<MatmulCall>(node);         // nullptr: left out
//   const MatmulCall<const TensorView&> in = As<MatmulCall>(context);  // present() tells
//   kOperand<MatmulCall>.bias                                   // 2, for whoever counts
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/graph.h"
#include "graph/op_def.h"
#include "graph/tensor.h"

// Members of the type T in operand order.
#define SLUICE_OPERANDS(...)                                       \
  T __VA_ARGS__;                                                   \
  static constexpr absl::string_view kOperandNames = #__VA_ARGS__; \
  std::vector<T> List() const { return std::vector<T>{__VA_ARGS__}; }

namespace sluice {

template <template <typename> class Call>
inline constexpr size_t kOperandCount =
    1 + static_cast<size_t>(std::count(Call<size_t>::kOperandNames.begin(),
                                       Call<size_t>::kOperandNames.end(), ','));

// The call with `of(i)` as its operand i.
template <template <typename> class Call, typename F>
constexpr auto MakeCall(F of) {
  return [&]<size_t... i>(std::index_sequence<i...>) {
    return Call<decltype(of(size_t{0}))>{of(i)...};
  }
  (std::make_index_sequence<kOperandCount<Call>>());
}

// Places in the operand list, by name.
template <template <typename> class Call>
inline constexpr Call<size_t> kOperand = MakeCall<Call>([](size_t i) { return i; });

// What a record says of an operand besides its name: see OperandDef.
struct OperandSpec {
  absl::string_view doc;
  bool optional = false;
  bool repackable = false;
  bool positive = false;
  bool derived = false;
  absl::string_view below = "";
  bool or_equal = false;
  IndexOrder order = IndexOrder::kAny;
};

std::vector<OperandDef> Named(absl::string_view names, absl::Span<const OperandSpec> specs);

// The operands of a record, with the view's names.
template <template <typename> class Call>
std::vector<OperandDef> Named(const Call<OperandSpec>& operands) {
  return Named(Call<OperandSpec>::kOperandNames, operands.List());
}

// Views of concrete tensors, of which those at the end may be missing.
template <template <typename> class Call>
auto FromViews(absl::Span<const TensorView> views) {
  static const TensorView kAbsent;
  return MakeCall<Call>(
      [&](size_t i) -> const TensorView& { return i < views.size() ? views[i] : kAbsent; });
}

template <template <typename> class Call>
auto As(const EvalContext& context) {
  assert(context.call.op.operands.size() == kOperandCount<Call>);
  return FromViews<Call>(context.operands);
}
template <template <typename> class Call>
auto As(const CostContext& context) {
  assert(context.call.op.operands.size() == kOperandCount<Call>);
  return FromViews<Call>(context.operands);
}
// nullptr: left out.
template <template <typename> class Call>
Call<const TensorType*> As(const OpCall& call) {
  assert(call.op.operands.size() == kOperandCount<Call>);
  return MakeCall<Call>([&](size_t i) { return call.Has(i) ? call.operands[i] : nullptr; });
}
template <template <typename> class Call>
Call<Value*> As(const Node& node) {
  assert(node.op().operands.size() == kOperandCount<Call>);
  return MakeCall<Call>([&](size_t i) { return node.operand(i); });
}

}  // namespace sluice
