// What nodes and whole steps of a graph do at given sizes: operations and bytes, from the ops' own
// records.
#pragma once

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "backends/kernel.h"
#include "graph/graph.h"
#include "graph/op_def.h"
#include "tools/machine/ceilings.h"
#include "tools/profile/parts.h"

namespace sluice {

OpCost operator+(const OpCost& a, const OpCost& b);

// A step of one sequence of a decoder (graph/decoder_interface.h).
struct StepSize {
  int64_t tokens = 1;
  int64_t outputs = 1;  // rows of logits
  int64_t length = 1;   // of the sequence after the step

  // Cached tokens that a token of the step attends to, its own included, on average.
  int64_t context() const { return length - (tokens - 1) / 2; }
};
SymbolValues SymbolsOf(const Graph& graph, const StepSize& size);

// Nothing for a view. Errors: a symbol without a value.
absl::StatusOr<OpCost> CostOf(const Node& node, const SymbolValues& symbols, int64_t context);

// What the kernel that was chosen for the node multiplies with: integers where it wants weights in
// a layout of codes (x16), else f32. f32 without kernels, too.
Arithmetic ArithmeticOf(const Node& node, const KernelSet* kernels);

struct StepCost {
  OpCost total;
  std::array<double, kArithmeticCount> flops = {};  // of the total, by Arithmetic
  std::array<OpCost, kPartCount> parts;             // by Part
  // Of the weights, what the step reads: of experts the used ones, of an embedding table the
  // tokens' rows.
  double weight_bytes = 0;
};

// Nodes that run once, when the graph is loaded, do not count. `kernels` are those that the graph's
// nodes were given; null: all is taken for f32. Errors: a symbol without a value.
absl::StatusOr<StepCost> CostOfStep(const Graph& graph, const StepSize& size,
                                    const KernelSet* kernels = nullptr);

}  // namespace sluice
