#include "backends/vulkan/vulkan_backend.h"

#include <utility>

#include "backends/compiled_rules.h"
#include "backends/device_features.h"
#include "backends/vulkan/executable.h"
#include "backends/vulkan/program.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

using vulkan::DeviceBuffer;
using vulkan::DeviceInfo;
using vulkan::MemoryKind;

std::vector<vulkan::VulkanKernel> AllKernels() {
  std::vector<vulkan::VulkanKernel> kernels;
  vulkan::AddLinearKernels(&kernels);
  vulkan::AddMoeKernels(&kernels);
  vulkan::AddNormRopeKernels(&kernels);
  vulkan::AddAttentionKernels(&kernels);
  vulkan::AddElementwiseKernels(&kernels);
  vulkan::AddTransferKernels(&kernels);
  vulkan::AddLayoutKernels(&kernels);
  vulkan::AddSamplingKernels(&kernels);
  return kernels;
}

proto::DeviceCaps CapsOf(const DeviceInfo& info) {
  proto::DeviceCaps caps;
  caps.set_backend("vulkan");
  caps.set_name(info.name);
  caps.add_features(info.type);
  caps.add_features(std::string(kOwnMemory));
  for (const std::string& feature : info.features) caps.add_features(feature);
  caps.set_threads(1);
  caps.set_memory_bytes(info.memory_bytes);
  return caps;
}

class VulkanBackend : public Backend {
 public:
  explicit VulkanBackend(std::unique_ptr<vulkan::Device> device) : caps_(CapsOf(device->info())) {
    shared_.device = std::move(device);
    shared_.pipelines = std::make_unique<vulkan::PipelineCache>(*shared_.device);
    shared_.transfer = std::make_unique<vulkan::Transfer>(*shared_.device);
    shared_.weights =
        std::make_unique<vulkan::WeightStore>(*shared_.device, shared_.transfer.get());
    shared_.kernels = AllKernels();
    for (const auto& kernel : shared_.kernels) records_.Add(kernel.record);
  }
  absl::string_view name() const override { return "vulkan"; }
  const proto::DeviceCaps& caps() const override { return caps_; }
  const KernelSet* kernels() const override { return &records_; }

  absl::StatusOr<std::unique_ptr<Buffer>> Allocate(int64_t bytes) override {
    SLUICE_ASSIGN_OR_RETURN(
        auto buffer, DeviceBuffer::Create(*shared_.device, bytes, MemoryKind::kDevice, "a state"));
    SLUICE_RETURN_IF_ERROR(shared_.transfer->Zero(*buffer));
    return std::make_unique<vulkan::StateBuffer>(std::move(buffer));
  }

  absl::StatusOr<std::vector<StepWork>> Schedule(const Graph& graph) const override {
    SLUICE_RETURN_IF_ERROR(VerifyCompiled(graph, records_, caps_));
    return vulkan::ScheduleOf(graph, shared_);
  }

  absl::StatusOr<std::unique_ptr<Executable>> Compile(Graph graph,
                                                      const WeightTable& weights) override {
    SLUICE_RETURN_IF_ERROR(VerifyCompiled(graph, *kernels(), caps()));  // what follows relies on it
    return vulkan::MakeExecutable(std::move(graph), weights, &shared_);
  }

 private:
  proto::DeviceCaps caps_;
  vulkan::Shared shared_;
  KernelSet records_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> MakeVulkanBackend(const vulkan::DeviceOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<vulkan::Device> device, vulkan::Device::Create(options));
  return std::make_unique<VulkanBackend>(std::move(device));
}

}  // namespace sluice
