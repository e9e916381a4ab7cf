#include "backends/vulkan/bandwidth.h"

#include <algorithm>

#include "backends/vulkan/memory.h"
#include "backends/vulkan/timestamps.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

constexpr int64_t kBytes = int64_t{1} << 28;  // several times what caches hold
constexpr uint32_t kCopies = 6;               // the first warms up

void RecordCopies(const DeviceBuffer& from, const DeviceBuffer& to, const Timestamps& timestamps,
                  VkCommandBuffer into) {
  const VkBufferCopy region = {.size = static_cast<VkDeviceSize>(from.bytes())};
  const VkMemoryBarrier2 barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
                                    .srcStageMask = VK_PIPELINE_STAGE_2_COPY_BIT,
                                    .srcAccessMask = VK_ACCESS_2_TRANSFER_WRITE_BIT,
                                    .dstStageMask = VK_PIPELINE_STAGE_2_COPY_BIT,
                                    .dstAccessMask = VK_ACCESS_2_TRANSFER_WRITE_BIT};
  const VkDependencyInfo dependency = {.sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO,
                                       .memoryBarrierCount = 1,
                                       .pMemoryBarriers = &barrier};
  timestamps.RecordReset(into);
  timestamps.Record(0, into);
  for (uint32_t i = 0; i < kCopies; ++i) {
    vkCmdCopyBuffer(into, from.get(), to.get(), 1, &region);
    vkCmdPipelineBarrier2(into, &dependency);
    timestamps.Record(i + 1, into);
  }
}

}  // namespace

absl::StatusOr<double> MeasureCopyBandwidth(Device& device) {
  const int64_t bytes = std::min(kBytes, device.info().max_allocation_bytes);
  Transfer transfer(device);
  std::unique_ptr<DeviceBuffer> buffers[2];
  for (auto& buffer : buffers) {
    SLUICE_ASSIGN_OR_RETURN(
        buffer, DeviceBuffer::Create(device, bytes, MemoryKind::kDevice, "a buffer to copy"));
    SLUICE_RETURN_IF_ERROR(transfer.Zero(*buffer));
  }
  SLUICE_ASSIGN_OR_RETURN(Timestamps timestamps, Timestamps::Create(device, kCopies + 1));
  SLUICE_ASSIGN_OR_RETURN(OneTimeCommands commands, OneTimeCommands::Begin(device));
  RecordCopies(*buffers[0], *buffers[1], timestamps, commands.get());
  SLUICE_RETURN_IF_ERROR(commands.Finish());
  SLUICE_ASSIGN_OR_RETURN(const absl::Span<const double> seconds, timestamps.Intervals());
  const double best = *std::min_element(seconds.begin() + 1, seconds.end());
  if (best <= 0) return absl::UnavailableError("the device's clock did not move during a copy");
  return 2 * static_cast<double>(bytes) / best;
}

}  // namespace sluice::vulkan
