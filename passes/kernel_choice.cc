#include "passes/kernel_choice.h"

namespace sluice {

std::vector<KernelChoice> KernelChoices(const Node& node, const SymbolValues& bounds,
                                        const CompileContext& context) {
  std::vector<KernelChoice> choices;
  if (context.kernels == nullptr || node.op().is_view) return choices;
  for (const Kernel* kernel : context.kernels->ForOp(node.op().name)) {
    KernelChoice& choice = choices.emplace_back(KernelChoice{.kernel = kernel});
    const absl::Status status = kernel->accepts(node, *context.caps);
    choice.refusal = status.ok() ? LayoutFault(node, *kernel) : std::string(status.message());
    if (!choice.refusal.empty()) continue;
    if (kernel->cost != nullptr) choice.seconds = kernel->cost(node, bounds, *context.caps);
  }
  return choices;
}

const KernelChoice* Cheapest(const std::vector<KernelChoice>& choices) {
  const KernelChoice* best = nullptr;
  for (const KernelChoice& choice : choices) {
    if (!choice.refusal.empty()) continue;
    if (best == nullptr || choice.seconds < best->seconds) best = &choice;
  }
  return best;
}

}  // namespace sluice
