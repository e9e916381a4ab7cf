#include "backends/kernel.h"

namespace sluice {

std::vector<const Kernel*> KernelSet::ForOp(absl::string_view op) const {
  std::vector<const Kernel*> found;
  for (const Kernel& kernel : kernels_) {
    if (kernel.op == op) found.push_back(&kernel);
  }
  return found;
}

const Kernel* KernelSet::Find(absl::string_view name) const {
  for (const Kernel& kernel : kernels_) {
    if (kernel.name == name) return &kernel;
  }
  return nullptr;
}

}  // namespace sluice
