// The table behind `sluice ops --matrix`: which kernels of which backend take an op with weights of
// which format.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "backends/backend.h"
#include "graph/graph.h"
#include "graph/op_def.h"

namespace sluice::tools {

// A graph with one application of the op, of sizes that models have, whose weights are of the
// format `weights`. Attributes that must be given and operands' sizes come from the op's record;
// optional operands are left out. Errors: a record that no sizes fit.
absl::StatusOr<Graph> SampleOf(const OpDef& op, DType weights, const OpRegistry& registry);

// Formats of weights that the op's record allows; none if no weight may come in several.
std::vector<DType> WeightFormats(const OpDef& op);

struct MatrixEntry {
  std::string op, backend, kernel;
  std::vector<DType> formats;  // of the weights; empty: the op has none that may differ
};
// In the order of ops, backends, and kernels of a backend.
absl::StatusOr<std::vector<MatrixEntry>> KernelMatrix(absl::Span<const OpDef* const> ops,
                                                      absl::Span<const Backend* const> backends,
                                                      const OpRegistry& registry);

// "matmul\n  cpu     cpu.matmul   f32 f16 ..."
std::string MatrixText(absl::Span<const MatrixEntry> entries);

}  // namespace sluice::tools
