#include "passes/kernel_choice.h"

#include "absl/strings/str_cat.h"

namespace sluice {

Target TargetOf(absl::string_view device, const CompileContext& context) {
  if (context.placement == nullptr || device.empty()) return {context.caps, context.kernels};
  const Backend* backend = context.placement->Find(device);
  if (backend == nullptr) return {};
  return {&backend->caps(), backend->kernels()};
}

std::vector<KernelChoice> KernelChoices(const Node& node, const SymbolValues& bounds,
                                        const CompileContext& context) {
  return KernelChoices(node, bounds, TargetOf(node.device(), context));
}

std::vector<KernelChoice> KernelChoices(const Node& node, const SymbolValues& bounds,
                                        const Target& target) {
  std::vector<KernelChoice> choices;
  if (target.kernels == nullptr || node.op().is_view) return choices;
  for (const Kernel* kernel : target.kernels->ForOp(node.op().name)) {
    KernelChoice& choice = choices.emplace_back(KernelChoice{.kernel = kernel});
    const absl::Status status = kernel->accepts(node, *target.caps);
    choice.refusal = status.ok() ? LayoutFault(node, *kernel) : std::string(status.message());
    if (!choice.refusal.empty()) continue;
    if (kernel->cost != nullptr) choice.seconds = kernel->cost(node, bounds, *target.caps);
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

std::string RefuseWithoutKernel(absl::string_view op, const Match& match,
                                const CompileContext& context) {
  // The last line of a pattern is always there, and all of a match is on one device.
  const Target target = TargetOf(match.nodes.back()->device(), context);
  if (target.kernels == nullptr || !target.kernels->ForOp(op).empty()) return "";
  return absl::StrCat(target.caps->backend(), " has no kernel for ", op);
}

}  // namespace sluice
