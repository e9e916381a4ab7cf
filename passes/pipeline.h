// The pipeline: every pass, in the one order in which they run.
#pragma once

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "backends/backend.h"
#include "graph/graph.h"
#include "passes/pass.h"
#include "passes/pass_manager.h"

namespace sluice {

// All passes in order.
absl::Span<const Pass> Pipeline();

// The pass of that name; nullptr if there is none.
const Pass* FindPass(absl::string_view name);

// The first pass whose outcome depends on the bucket. Those before it can be run once for all.
inline constexpr absl::string_view kFirstBucketPass = "specialise";

// What passes for the backend may know of it.
CompileContext ContextOf(const Backend& backend);

// The rules of backends/compiled_rules.h for a graph whose kernels, layouts and places are made for
// this backend, of several devices for the part of each. A backend without kernels has none.
absl::Status VerifyPlan(const Backend& backend, const Graph& graph);

// Runs the pipeline for a backend, and if it comes to its end checks the plan.
absl::Status Optimize(const Backend& backend, const PassOptions& options, Graph* graph,
                      std::vector<PassReport>* report = nullptr);

}  // namespace sluice
