// Reference evaluation of ops and the meaning of fused ones.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "graph/graph.h"
#include "graph/op_def.h"

namespace sluice {

// The graph that a fused op application stands for: one input or state per present operand, named
// as in the op's record, and one output per result, but for updated states. Attributes are filled
// in.
absl::StatusOr<Graph> Expand(const OpCall& call, const OpRegistry& registry);

// Runs an op's reference semantics: its `eval`, or its expansion op by op.
absl::Status Evaluate(const EvalContext& context, const OpRegistry& registry);

// A concrete type: the dtype and dims of a view.
TensorType TypeOf(const TensorView& view);

// The view of `type` with the symbols' values, without data.
absl::StatusOr<TensorView> ViewOf(const TensorType& type, const SymbolValues& symbols);

}  // namespace sluice
