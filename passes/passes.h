// Every pass, one per file. Each file's header comment shows the graph before and after, the
// precondition, and when the pass must not run.
#pragma once

#include "absl/status/statusor.h"
#include "graph/graph.h"
#include "passes/pass.h"

namespace sluice {

absl::StatusOr<bool> AbsorbMoeGather(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> AddLora(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> Canonicalise(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> DeriveOperands(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> EliminateCommon(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> EliminateDead(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> ExpandFused(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> FoldConstants(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> FuseAddRmsNorm(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> FuseExpertSum(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> FuseGateUp(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> FuseQkNormRope(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> FuseQkv(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> FuseRouter(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> FuseScaledAdd(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> Place(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> PlanMemory(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> PrepackWeights(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> SelectKernels(Graph& graph, const CompileContext& context);
absl::StatusOr<bool> Specialise(Graph& graph, const CompileContext& context);

}  // namespace sluice
