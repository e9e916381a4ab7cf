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

// Runs the pipeline for a backend.
absl::Status Optimize(const Backend& backend, const PassOptions& options, Graph* graph,
                      std::vector<PassReport>* report = nullptr);

}  // namespace sluice
