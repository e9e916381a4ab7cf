// select_kernels: writes into each node the name of the cheapest kernel that accepts it.
//
//   before   %y = matmul(%x, @w) : f32[tokens,64]
//   after    %y = matmul(%x, @w) : f32[tokens,64] kernel("cpu.matmul.panel")
//
// A kernel that is already there (a test or a tuning file put it in) stays if it accepts the node.
// Nodes with a device get a kernel of that one. Views need none. Not for a target without a kernel
// list, which runs ops as they are.
// A node that no kernel accepts is an error that lists each rejection.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/nearest_name.h"
#include "graph/status_macros.h"
#include "graph/text.h"
#include "passes/kernel_choice.h"
#include "passes/passes.h"

namespace sluice {
namespace {

absl::StatusOr<const Kernel*> Choose(const Node& node, const SymbolValues& bounds,
                                     const Target& target) {
  const std::vector<KernelChoice> choices = KernelChoices(node, bounds, target);
  if (const KernelChoice* best = Cheapest(choices)) return best->kernel;
  const std::string refusals =
      absl::StrJoin(choices, "; ", [](std::string* out, const KernelChoice& choice) {
        absl::StrAppend(out, choice.kernel->name, ": ", choice.refusal);
      });
  return absl::UnimplementedError(absl::StrCat(
      "no ", target.caps->backend(), " kernel for ", Print(node),
      choices.empty() ? absl::StrCat(": the backend has none for '", node.op().name, "'")
                      : absl::StrCat(": ", refusals)));
}

absl::Status CheckOverride(const Node& node, const Target& target) {
  const Kernel* kernel = target.kernels->Find(node.kernel());
  if (kernel == nullptr || kernel->op != node.op().name) {
    return absl::InvalidArgumentError(
        absl::StrCat("%", node.name(), " asks for the kernel '", node.kernel(), "', but ",
                     target.caps->backend(), " has no such kernel for '", node.op().name, "'",
                     DidYouMean(node.kernel(), NamesOf(target.kernels->ForOp(node.op().name)))));
  }
  absl::Status status = kernel->accepts(node, *target.caps);
  const std::string layout_fault = LayoutFault(node, *kernel);
  if (status.ok() && !layout_fault.empty()) status = absl::InvalidArgumentError(layout_fault);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat("%", node.name(), " asks for the kernel '",
                                                 node.kernel(),
                                                 "', which refuses: ", status.message()));
}

}  // namespace

absl::StatusOr<bool> SelectKernels(Graph& graph, const CompileContext& context) {
  if (context.kernels == nullptr) return false;
  const SymbolValues bounds = graph.Bounds();
  bool changed = false;
  for (const auto& node : graph.nodes()) {
    const Target target = TargetOf(node->device(), context);
    if (target.caps == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("%", node->name(), " is for '", node->device(),
                                                     "', which is no device here"));
    }
    if (target.kernels == nullptr || node->op().is_view) continue;
    if (!node->kernel().empty()) {
      SLUICE_RETURN_IF_ERROR(CheckOverride(*node, target));
      continue;
    }
    SLUICE_ASSIGN_OR_RETURN(const Kernel* kernel, Choose(*node, bounds, target));
    node->set_kernel(kernel->name);
    changed = true;
  }
  return changed;
}

}  // namespace sluice
