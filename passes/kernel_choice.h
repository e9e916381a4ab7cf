// Which kernels a backend has for a node, and what each says of it: the question that
// select_kernels decides, and that tools show.
#pragma once

#include <string>
#include <vector>

#include "backends/kernel.h"
#include "graph/graph.h"
#include "passes/match.h"
#include "passes/pass.h"

namespace sluice {

// What a node is compiled for: its device's backend, or the one that there is. Both are nullptr
// where there is no such device.
struct Target {
  const proto::DeviceCaps* caps = nullptr;
  const KernelSet* kernels = nullptr;
};
Target TargetOf(absl::string_view device, const CompileContext& context);

struct KernelChoice {
  const Kernel* kernel;
  std::string refusal;  // empty: it accepts the node
  double seconds = 0;   // estimate at the symbols' bounds, if it accepts
};

// Every kernel for the node's op, in order of registration. Empty for a view, which needs none, and
// without a kernel list.
std::vector<KernelChoice> KernelChoices(const Node& node, const SymbolValues& bounds,
                                        const Target& target);
std::vector<KernelChoice> KernelChoices(const Node& node, const SymbolValues& bounds,
                                        const CompileContext& context);

// The cheapest one that accepts, the first of equals; nullptr if all refuse.
const KernelChoice* Cheapest(const std::vector<KernelChoice>& choices);

// For passes that make an op which not every target has: empty if the one that `match` is for can
// run it, or why not. A fused op's kernels are expected to accept what those of its parts accept.
std::string RefuseWithoutKernel(absl::string_view op, const Match& match,
                                const CompileContext& context);

}  // namespace sluice
