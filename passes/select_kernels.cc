// select_kernels: writes into each node the name of the cheapest kernel that accepts it.
//
//   before   %y = matmul(%x, @w) : f32[tokens,64]
//   after    %y = matmul(%x, @w) : f32[tokens,64] kernel("cpu.matmul.panel")
//
// A kernel that is already there (a test or a tuning file put it in) stays if it accepts the node.
// Views need none. Not for a target without a kernel list, which runs ops as they are.
// A node that no kernel accepts is an error that lists each rejection.
#include <limits>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "graph/text.h"
#include "passes/passes.h"

namespace sluice {
namespace {

absl::StatusOr<const Kernel*> Choose(const Node& node, const SymbolValues& bounds,
                                     const CompileContext& context) {
  const Kernel* best = nullptr;
  double best_cost = std::numeric_limits<double>::infinity();
  std::string rejections;
  for (const Kernel* kernel : context.kernels->ForOp(node.op().name)) {
    if (absl::Status status = kernel->accepts(node, *context.caps); !status.ok()) {
      absl::StrAppend(&rejections, rejections.empty() ? "" : "; ", kernel->name, ": ",
                      status.message());
      continue;
    }
    const double cost = kernel->cost ? kernel->cost(node, bounds, *context.caps) : 0;
    if (cost < best_cost) {
      best = kernel;
      best_cost = cost;
    }
  }
  if (best != nullptr) return best;
  return absl::UnimplementedError(absl::StrCat(
      "no ", context.caps->backend(), " kernel for ", Print(node),
      rejections.empty() ? absl::StrCat(": the backend has none for '", node.op().name, "'")
                         : absl::StrCat(": ", rejections)));
}

absl::Status CheckOverride(const Node& node, const CompileContext& context) {
  const Kernel* kernel = context.kernels->Find(node.kernel());
  if (kernel == nullptr || kernel->op != node.op().name) {
    return absl::InvalidArgumentError(
        absl::StrCat("%", node.name(), " asks for the kernel '", node.kernel(), "', but ",
                     context.caps->backend(), " has no such kernel for '", node.op().name, "'"));
  }
  absl::Status status = kernel->accepts(node, *context.caps);
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
    if (node->op().is_view) continue;
    if (!node->kernel().empty()) {
      SLUICE_RETURN_IF_ERROR(CheckOverride(*node, context));
      continue;
    }
    SLUICE_ASSIGN_OR_RETURN(const Kernel* kernel, Choose(*node, bounds, context));
    node->set_kernel(kernel->name);
    changed = true;
  }
  return changed;
}

}  // namespace sluice
