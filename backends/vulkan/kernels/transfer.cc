// The kernel of copy, which takes values from other devices where the host has put them.
#include "backends/vulkan/lowering.h"
#include "graph/ops/layout.h"

namespace sluice::vulkan {
namespace {

absl::Status LowerCopy(Lowering& out) {
  out.Copy(As<UnaryCall>(out).x.span, out.Result(0));
  return absl::OkStatus();
}

}  // namespace

void AddTransferKernels(std::vector<VulkanKernel>* kernels) {
  kernels->push_back({{"vulkan.copy", "copy",
                       "copies bytes, from another device's by way of the host", AcceptsAll},
                      LowerCopy});
}

}  // namespace sluice::vulkan
