// A compiled graph on the device: its commands, its memory, and the runs.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "backends/backend.h"
#include "backends/vulkan/lowering.h"
#include "backends/vulkan/memory.h"
#include "backends/vulkan/pipeline.h"
#include "backends/vulkan/weights.h"

namespace sluice::vulkan {

// What the backend has for all of its executables.
struct Shared {
  std::unique_ptr<Device> device;  // outlives the rest
  std::unique_ptr<PipelineCache> pipelines;
  std::unique_ptr<Transfer> transfer;
  std::unique_ptr<WeightStore> weights;
  std::vector<VulkanKernel> kernels;
};

// A state. The host sees it where the device shares its memory.
class StateBuffer : public Buffer {
 public:
  explicit StateBuffer(std::unique_ptr<DeviceBuffer> buffer) : buffer_(std::move(buffer)) {}
  int64_t bytes() const override { return buffer_->bytes(); }
  std::byte* host() override { return buffer_->mapped(); }
  const DeviceBuffer& device() const { return *buffer_; }

 private:
  std::unique_ptr<DeviceBuffer> buffer_;
};

// `graph` has kernels and places. Errors name the node or weight.
absl::StatusOr<std::unique_ptr<Executable>> MakeExecutable(Graph graph, const WeightTable& weights,
                                                           Shared* shared);

}  // namespace sluice::vulkan
